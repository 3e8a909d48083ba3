// Package apierror makes the errors of the API: a gRPC status whose reason, in an
// ErrorInfo, is part of the contract and what clients branch on.
//
// It guarantees that every error has a reason and the service's domain. Which reasons
// there are, and what their texts say to do, is for the packages that return them.
package apierror

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// Domain is the ErrorInfo domain of every error of the service.
const Domain = "wabastream"

// New makes an error that carries a reason, and details behind it.
func New(code codes.Code, reason, message string, details ...protoadapt.MessageV1) error {
	return WithMetadata(code, reason, message, nil, details...)
}

// WithMetadata is [New] with values that a client may want to read.
func WithMetadata(code codes.Code, reason, message string, metadata map[string]string, details ...protoadapt.MessageV1) error {
	st := status.New(code, message)
	info := &errdetails.ErrorInfo{Reason: reason, Domain: Domain, Metadata: metadata}
	withDetails, err := st.WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil {
		return st.Err()
	}
	return withDetails.Err()
}

// Invalid refuses a request with INVALID_ARGUMENT and names the field that is wrong.
func Invalid(reason, field, problem string) error {
	violation := &errdetails.BadRequest_FieldViolation{Field: field, Description: problem, Reason: reason}
	return WithMetadata(codes.InvalidArgument, reason, field+": "+problem, map[string]string{"field": field},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation}})
}
