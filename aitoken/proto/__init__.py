"""Wire types that both chain and consensus need: header, digest, extrinsic, vote, certificate. Pure."""
