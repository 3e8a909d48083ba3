package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// gatewayMaxMessage is more than any answer of the service.
const gatewayMaxMessage = 8 << 20

// apiPaths tells who asks for another path what there is.
const apiPaths = "the API is at POST /v1/events:subscribe, POST /v1/events:list, GET /v1/events/{id}, GET /v1/log, POST /v1/backups, POST /v1/quarantine:list and POST /v1/quarantine:reinject"

// dialGateway makes the REST gateway, which speaks to the gRPC server through
// memory like any other client.
func (a *App) dialGateway(inMemory *bufconn.Listener) error {
	conn, err := grpc.NewClient("passthrough:///in-memory",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return inMemory.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(gatewayMaxMessage)))
	if err != nil {
		return fmt.Errorf("connect the gateway: %w", err)
	}
	a.teardown.push("disconnect the gateway", func(context.Context) error { return conn.Close() })
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newMarshaler()),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithIncomingHeaderMatcher(dropGRPCMetadata),
		runtime.WithRoutingErrorHandler(routingError),
		runtime.WithErrorHandler(errorWithReason))
	// The registration's context only bounds its lifetime; the connection is
	// closed by the teardown.
	if err := errors.Join(
		wabastreamv1.RegisterEventServiceHandler(context.Background(), mux, conn),
		wabastreamv1.RegisterAdminServiceHandler(context.Background(), mux, conn),
	); err != nil {
		return fmt.Errorf("register the gateway: %w", err)
	}
	a.gateway = strictRequests(mux)
	return nil
}

// strictRequests refuses what the gateway would pass over: a request whose start
// it did not see would be served from the newest event on, and a lost cursor
// must never mean that. It also bounds the body, in size and time.
func strictRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !utf8.ValidString(r.URL.Path) {
			refuse(w, http.StatusBadRequest, "REQUEST_INVALID", "the path is not UTF-8")
			return
		}
		takesBody := []string{"/v1/events:subscribe", "/v1/events:list", "/v1/backups", "/v1/quarantine:list", "/v1/quarantine:reinject"}
		if slices.Contains(takesBody, r.URL.Path) && r.Method == http.MethodPost && !readRequest(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readRequest reads a request's body whole and puts it back; false says that it
// was refused.
func readRequest(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.RawQuery != "" {
		refuse(w, http.StatusBadRequest, "REQUEST_INVALID", "parameters belong into the body, as one JSON object")
		return false
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(readTimeout)) // every net/http connection can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	_ = control.SetReadDeadline(time.Time{})
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		refuse(w, http.StatusRequestEntityTooLarge, "REQUEST_INVALID", fmt.Sprintf("the request is larger than %d bytes", maxRequestBytes))
		return false
	}
	if err == nil {
		err = checkObject(body)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "REQUEST_INVALID", err.Error()+"; send one JSON object, {} for the defaults")
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

// checkObject accepts one JSON object whose members are not null.
func checkObject(body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return fmt.Errorf("the body is not a JSON object: %w", err)
	}
	if members == nil {
		return errors.New("the body is null")
	}
	for name, value := range members {
		if string(value) == "null" {
			return fmt.Errorf("member %.40q is null; leave it out", name)
		}
	}
	return nil
}

// dropGRPCMetadata keeps a client from sending gRPC metadata through HTTP
// headers: metadata is how this process speaks to itself.
func dropGRPCMetadata(header string) (string, bool) {
	if strings.HasPrefix(strings.ToLower(header), strings.ToLower(runtime.MetadataHeaderPrefix)) {
		return "", false
	}
	return runtime.DefaultHeaderMatcher(header)
}

// routingError answers 405 where the gateway's own handler says 501, which reads
// as if the server were too old.
func routingError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	err := status.Errorf(codes.NotFound, "no such path; %s", apiPaths)
	switch code {
	case http.StatusNotFound:
	case http.StatusMethodNotAllowed:
		err = status.Errorf(codes.Unimplemented, "%s is not for this path; %s", r.Method, apiPaths)
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
	detailed, detailErr := st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "wabastream"})
	if detailErr != nil {
		return err
	}
	return detailed.Err()
}

// marshaler is protojson for the gateway: a member that the contract does not
// have is refused, because a mistyped after_cursor must not mean "latest".
type marshaler struct {
	*runtime.JSONPb
}

func newMarshaler() marshaler {
	return marshaler{&runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
	}}
}

// StreamContentType says that a stream is one JSON text a line.
func (marshaler) StreamContentType(any) string { return "application/x-ndjson" }
