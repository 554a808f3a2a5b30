"""The manifests of shared/kubernetes."""
