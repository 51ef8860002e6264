"""How good synthetic rows are: near to the real ones, varied, no copies of them, and of use to models trained on them."""
