package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// NotFound answers that there is no such path; the hint says what there is.
func NotFound(hint string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Refuse(w, http.StatusNotFound, "NOT_FOUND", "no such path; "+hint)
	})
}

// Refuse answers with a google.rpc.Status, as the gateway does, so that clients
// of the API parse one shape. The reason is part of the contract.
func Refuse(w http.ResponseWriter, httpStatus int, reason, message string) {
	st, err := status.New(codeOf(httpStatus), message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: errorDomain})
	if err != nil {
		http.Error(w, message, httpStatus)
		return
	}
	body, err := protojson.Marshal(st.Proto())
	if err != nil {
		http.Error(w, message, httpStatus)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus)
	_, _ = w.Write(append(body, '\n'))
}

// errorDomain is the ErrorInfo domain of every error of the service.
const errorDomain = "wabastream"

func codeOf(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusForbidden:
		return codes.PermissionDenied
	default:
		return codes.InvalidArgument
	}
}

// routingError answers 405 where the gateway's own handler says 501, which reads
// as if the server were too old.
func routingError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	err := status.Errorf(codes.NotFound, "no such path; %s", paths())
	switch code {
	case http.StatusNotFound:
	case http.StatusMethodNotAllowed:
		err = status.Errorf(codes.Unimplemented, "%s is not for this path; %s", r.Method, paths())
	default:
		runtime.DefaultRoutingErrorHandler(ctx, mux, m, w, r, code)
		return
	}
	runtime.HTTPError(ctx, mux, m, w, r, &runtime.HTTPStatusError{HTTPStatus: code, Err: err})
}

// errorWithReason gives the gateway's own errors what every error of the service
// carries.
func errorWithReason(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if routed, ok := errors.AsType[*runtime.HTTPStatusError](err); ok {
		err = &runtime.HTTPStatusError{HTTPStatus: routed.HTTPStatus, Err: withReason(routed.Err)}
	} else {
		err = withReason(err)
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, err)
}

func withReason(err error) error {
	st := status.Convert(err)
	if slices.ContainsFunc(st.Details(), func(d any) bool { _, ok := d.(*errdetails.ErrorInfo); return ok }) {
		return err
	}
	reason := map[codes.Code]string{
		codes.InvalidArgument: "REQUEST_INVALID",
		codes.NotFound:        "NOT_FOUND",
		codes.Unimplemented:   "METHOD_NOT_ALLOWED",
	}[st.Code()]
	if reason == "" {
		return err
	}
	detailed, detailErr := st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: errorDomain})
	if detailErr != nil {
		return err
	}
	return detailed.Err()
}
