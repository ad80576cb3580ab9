"""The service: takes shots over the wire, has worker processes make them, keeps and sends the results."""
