"""What every room shares and strangers may import: types, codec, crypto, wire types, client, key files."""
