package rest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Clients cannot speak gRPC metadata to the server through HTTP headers.
func TestGatewayDropsMetadataHeaders(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"Grpc-Metadata-Authorization": false, "grpc-metadata-x": false, "Authorization": true,
	} {
		_, passed := dropGRPCMetadata(header)
		require.Equal(t, want, passed, header)
	}
}
