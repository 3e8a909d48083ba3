// Package deploy holds the manifests in deploy/kubernetes against Kubernetes' own
// types, without a cluster and without a network.
package deploy
