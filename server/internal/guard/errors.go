package guard

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// statusError carries a reason, which is part of the contract.
func statusError(code codes.Code, reason, message string) error {
	st, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "wabastream"})
	if err != nil {
		return status.Error(code, message)
	}
	return st.Err()
}

func draining() error {
	return statusError(codes.Unavailable, "DRAINING", "the server is shutting down; call again")
}
