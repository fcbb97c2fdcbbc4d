"""The one way out: a client that fetches from other hosts under the rules of the perimeter."""
