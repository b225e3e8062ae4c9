"""The methods themselves, one module per namespace; how they are served is `node.rpc`'s business."""
