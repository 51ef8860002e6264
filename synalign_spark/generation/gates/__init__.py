"""Gates: each says of a row what is wrong with it, by its text alone, by the real rows or by the rows accepted before it."""
