"""The OpenFeature Remote Evaluation Protocol 0.3: flags for clients that exist already."""
