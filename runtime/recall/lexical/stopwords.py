"""Words that say nothing about what a text is about, for the languages where the library has no list."""
# ruff: noqa: RUF001 - letters of other alphabets are meant

_LISTS = {
    "ar": """
        من في على إلى عن مع هذا هذه ذلك تلك التي الذي الذين ما لا لم لن إن أن أو و ثم قد كان كانت يكون
        هو هي هم نحن أنا أنت كل بعض غير بين بعد قبل عند حتى إذا كما لكن ليس هل أي هناك منذ حيث فيه فيها
        به بها له لها
    """,
    "cs": """
        a i o u v ve k ke s se z ze na do od po pro při za před nad pod mezi bez aby ale ani ano až že
        jak jako je jsem jsi jsme jste jsou být byl byla bylo byli by bych by kde kdy kdo co což který
        která které kteří ten ta to ti ty tento tato toto tyto já on ona ono my vy oni jeho její jejich
        můj tvůj si ne nebo také tak tam už jen ještě než protože proč má mají bude budou
    """,
    "el": """
        ο η το οι τα του της των τον την τους τις και κι κ είναι ήταν να θα δεν μη μην με σε στο στη
        στην στον στα στις στους από για ως προς κατά μετά παρά αλλά αν ή ότι που πως πώς τι ποιος ποια
        ποιο αυτός αυτή αυτό αυτοί αυτές αυτά εγώ εσύ εμείς εσείς μου σου μας σας ένα ένας μια έχει
        έχουν όπως όταν πολύ
    """,
    "pl": """
        a i o u w we z ze na do od po pod nad przed przez przy za dla bez oraz ale albo lub ani że żeby
        aby by jak jako jest są był była było były być będzie będą to ten ta te ci tego tej tym tych
        który która które którzy co kto gdzie kiedy ja ty on ona ono my wy oni jego jej ich mój twój się
        nie tak tam już jeszcze tylko też także czy bo więc ma mają może
    """,
    "ro": """
        și şi a al ale ai o un una unei unui unor cel cea cei cele de din la în pe cu fără pentru prin
        spre după până sub între este e sunt era au am ai are fi fost fie va vor că să ca sau dar nici
        nu mai care ce cine cum când unde eu tu el ea noi voi ei ele lui îl îi le se își acest această
        aceasta acestea acel acea tot toate foarte dacă
    """,
    "ta": """
        மற்றும் ஒரு இந்த அந்த இது அது என்று என என்ற என்பது உள்ளது உள்ள இருந்து ஆகும் ஆனால் அல்லது போன்ற
        வரை மேலும் தான் கொண்ட செய்து பல சில நான் நீ அவர் அவன் அவள் நாம் நாங்கள் அவர்கள் என்ன எந்த யார்
        எப்படி
    """,
    "tr": """
        ve veya ya ile de da ki bir bu şu o ben sen biz siz onlar için gibi kadar daha çok en az ama
        fakat ancak çünkü eğer ise mi mı mu mü ne nasıl neden niçin nerede kim hangi her bazı hiç değil
        var yok olan olarak oldu olur sonra önce göre bunu buna onun bunun
    """,
}
STOP_WORDS: dict[str, tuple[str, ...]] = {
    language: tuple(words.split()) for language, words in _LISTS.items()
}
"""By ISO 639-1 code."""
