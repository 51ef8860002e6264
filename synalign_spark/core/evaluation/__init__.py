"""What weights achieve: the certificate and the witness of the MMD."""
