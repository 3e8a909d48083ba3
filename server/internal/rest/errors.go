package rest

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wabastream/wabastream/server/internal/apierror"
)

const (
	reasonRequestInvalid   = "REQUEST_INVALID"
	reasonNotFound         = "NOT_FOUND"
	reasonMethodNotAllowed = "METHOD_NOT_ALLOWED"
	reasonMediaType        = "MEDIA_TYPE_NOT_SUPPORTED"
	reasonNotReady         = "NOT_READY"
)

// NotFound answers that there is no such path; the hint says what there is.
func NotFound(hint string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, reasonNotFound, "no such path; "+hint)
	})
}

// WriteError answers with an error, as google.rpc.Status in JSON that carries a
// reason, and with the HTTP status that its code stands for.
func WriteError(w http.ResponseWriter, err error) {
	st := withReason(status.Convert(err))
	writeStatus(w, runtime.HTTPStatusFromCode(st.Code()), st)
}

// refuse answers with an error that HTTP has a status of its own for.
func refuse(w http.ResponseWriter, httpStatus int, reason, message string) {
	writeStatus(w, httpStatus, reasoned(codeOf(httpStatus), reason, message))
}

func writeStatus(w http.ResponseWriter, httpStatus int, st *status.Status) {
	body, err := protojson.Marshal(st.Proto())
	if err != nil { // nothing that is marshalled here is not UTF-8
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	if st.Code() == codes.Unauthenticated {
		header.Set("WWW-Authenticate", challenge(st))
	}
	if delay := retryDelay(st); delay > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(delay.Seconds()))))
	}
	w.WriteHeader(httpStatus)
	_, _ = w.Write(append(body, '\n')) //nolint:gosec // it is JSON, and declared as such
}

// challenge is what RFC 6750 has a server say to who is not let in.
func challenge(st *status.Status) string {
	if reasonOf(st) == "CREDENTIALS_MISSING" {
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}

func codeOf(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusMethodNotAllowed:
		return codes.Unimplemented
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	default:
		return codes.InvalidArgument
	}
}

func reasoned(c codes.Code, reason, message string) *status.Status {
	st, err := status.New(c, message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: apierror.Domain})
	if err != nil {
		return status.New(c, message)
	}
	return st
}

// withReason gives errors that gRPC and the gateway make themselves what every error
// of the service carries.
func withReason(st *status.Status) *status.Status {
	if reasonOf(st) != "" {
		return st
	}
	reason := code.Code_name[int32(st.Code())]
	if st.Code() == codes.InvalidArgument {
		reason = reasonRequestInvalid
	}
	detailed, err := st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: apierror.Domain})
	if err != nil {
		return st
	}
	return detailed
}

// retryDelay is how long an error asks its client to wait; zero if it says nothing.
func retryDelay(st *status.Status) time.Duration {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func reasonOf(st *status.Status) string {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// gatewayError answers for the gateway.
func gatewayError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	if routed, ok := errors.AsType[*runtime.HTTPStatusError](err); ok {
		writeStatus(w, routed.HTTPStatus, withReason(status.Convert(routed.Err)))
		return
	}
	WriteError(w, err)
}

// gatewayNotFound answers for paths that the gateway makes out not to be its own, such
// as an id with a slash in it.
func gatewayNotFound(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
	NotFound(paths()).ServeHTTP(w, r)
}
