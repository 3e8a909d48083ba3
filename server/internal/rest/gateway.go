package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guard"
)

const (
	// maxRequestBytes is what the gRPC server takes of a request; the largest
	// filters fit.
	maxRequestBytes = 1 << 20
	// readTimeout is for a body: a slow network's share, and no more of a slow
	// sender's.
	readTimeout = 30 * time.Second
)

// newGateway translates the contract's calls, which go over the connection.
func newGateway(conn *grpc.ClientConn) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newMarshaler()),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithIncomingHeaderMatcher(noHeader),
		runtime.WithOutgoingHeaderMatcher(noHeader),
		runtime.WithMetadata(func(_ context.Context, r *http.Request) metadata.MD { return guard.Metadata(r.Context()) }),
		runtime.WithRoutingErrorHandler(gatewayNotFound),
		runtime.WithErrorHandler(gatewayError))
	// The registration's context only bounds its lifetime; the connection is
	// closed by Close.
	if err := errors.Join(
		wabastreamv1.RegisterEventServiceHandler(context.Background(), mux, conn),
		wabastreamv1.RegisterAccountServiceHandler(context.Background(), mux, conn),
		wabastreamv1.RegisterAdminServiceHandler(context.Background(), mux, conn),
	); err != nil {
		return nil, fmt.Errorf("register the gateway: %w", err)
	}
	return mux, nil
}

// noHeader keeps a client from sending gRPC metadata through HTTP headers: metadata is
// how this process speaks to itself.
func noHeader(string) (string, bool) { return "", false }

// strictRequests refuses what the gateway would pass over: a request whose start
// it did not see would be served from the newest event on, and a lost cursor
// must never mean that. It also bounds the body, in size and time.
func strictRequests(route Route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route.Method == http.MethodPost && !readRequest(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readRequest reads a request's body whole and puts it back; false says that it
// was refused.
func readRequest(w http.ResponseWriter, r *http.Request) bool {
	if !mayBeJSON(r.Header) {
		refuse(w, http.StatusUnsupportedMediaType, reasonMediaType, "the body is declared to be something else; send one JSON object as application/json")
		return false
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(readTimeout)) // every net/http connection can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	_ = control.SetReadDeadline(time.Time{})
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		refuse(w, http.StatusRequestEntityTooLarge, reasonRequestInvalid, fmt.Sprintf("the request is larger than %d bytes", maxRequestBytes))
		return false
	}
	if err == nil {
		err = checkObject(body)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, reasonRequestInvalid, err.Error()+"; send one JSON object, {} for the defaults")
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

// mayBeJSON reports whether a body is declared as JSON, or as what clients say that
// were not told: curl takes all it sends for a form.
func mayBeJSON(header http.Header) bool {
	if header.Get("Content-Encoding") != "" {
		return false
	}
	declared := header.Get("Content-Type")
	if declared == "" {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(declared)
	switch {
	case err != nil:
		return false
	case strings.HasSuffix(mediaType, "+json"):
		return true
	}
	switch mediaType {
	case "application/json", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain":
		return true
	default:
		return false
	}
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
