"""From the bytes of a document to its text, title, sections and language.

`reader` is the door that the server uses: it hands documents to children. Everything else but `limits`,
`faults` and `wire` runs in those children only; there a format's libraries are imported when its first
document comes, since all of them together take seconds and a hundred megabytes.
"""
