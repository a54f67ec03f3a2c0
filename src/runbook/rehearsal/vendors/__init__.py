"""Stand-ins of vendors: small servers that keep state and refuse what the vendor refuses."""
