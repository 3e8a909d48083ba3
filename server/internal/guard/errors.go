package guard

import (
	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/server/internal/apierror"
)

func draining() error {
	return apierror.New(codes.Unavailable, "DRAINING", "the server is shutting down; call again")
}
