"""Functions on Arrow arrays and batches, and the column UDFs made from them."""
