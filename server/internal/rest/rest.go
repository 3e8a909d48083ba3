// Package rest is the server's API over HTTP: what insiders with curl or a browser
// use instead of gRPC, and where operators look.
//
// It guarantees that every call is answered by the gRPC server itself, in the name of
// whoever sent the request, so that both hold to one set of rules; that a request
// which it does not understand in whole is refused, because a start that went unseen
// would mean "from the newest event on"; that pages of other origins get nothing
// unless they were named; and that every error is a google.rpc.Status as JSON that
// carries a reason.
//
// It listens nowhere, and knows nothing of TLS.
package rest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/apidoc"
	"github.com/wabastream/wabastream/server/internal/guard"
)

// maxAnswerBytes is more than any answer of the gRPC server.
const maxAnswerBytes = 8 << 20

// streamWindow is how much of a stream is on its way at once.
const streamWindow = 256 << 10

// Config is what an API is made of. All is required but Origins.
type Config struct {
	// Dial connects to the gRPC server, over a connection that guard.InMemory is true
	// of.
	Dial func(ctx context.Context) (net.Conn, error)
	// Guard lets requests through, and is the gRPC server's too.
	Guard *guard.Guard
	// Origins are those whose pages may use the API, such as
	// "https://console.example.com"; none is none but the API's own.
	Origins []string
	// Ready is nil while the server takes requests, and else says why it does not, to
	// anybody. It is called concurrently.
	Ready func() error
	// Metrics serves the server's metrics.
	Metrics http.Handler
	// Logger receives panics.
	Logger *slog.Logger
}

// API serves the paths of the API. It is safe for concurrent use, but for Close.
type API struct {
	guard   *guard.Guard
	origins []string
	logger  *slog.Logger
	mux     *http.ServeMux
	conn    *grpc.ClientConn
}

// New makes an API, which is to be closed. It does not connect yet.
func New(config Config) (*API, error) {
	conn, err := grpc.NewClient("passthrough:///in-memory",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return config.Dial(ctx) }),
		// A reader that is slow holds this much here, and the rest in the log.
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)))
	if err != nil {
		return nil, fmt.Errorf("connect to the gRPC server: %w", err)
	}
	a := &API{guard: config.Guard, origins: config.Origins, logger: config.Logger, mux: http.NewServeMux(), conn: conn}
	gateway, err := newGateway(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	docs, err := apidoc.New()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	own := map[string]http.Handler{
		healthPath:   Health(),
		readyPath:    readiness(config.Ready),
		metricsPath:  config.Metrics,
		documentPath: http.HandlerFunc(docs.ServeDocument),
		docsPath:     http.HandlerFunc(docs.ServePage),
		ssePath:      sse{wabastreamv1.NewEventServiceClient(conn)},
	}
	for _, r := range Routes() {
		handler := own[r.Path]
		if handler == nil {
			handler = strictRequests(r, gateway)
		}
		a.mux.Handle(r.Path, a.admit(r.Rule, asked(r, handler)))
	}
	a.mux.Handle("/v1/", a.admit(guard.Consumers, NotFound(paths())))
	a.mux.Handle("/", a.admit(guard.Anybody, NotFound(paths())))
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer a.recover()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !utf8.ValidString(r.URL.Path) { // the gateway would put it into a message
		refuse(w, http.StatusBadRequest, reasonRequestInvalid, "the path is not UTF-8")
		return
	}
	a.mux.ServeHTTP(w, r)
}

// recover has a panic end its request only, as net/http does, but unlike that keeps
// its value, which may quote an event, out of the log.
func (a *API) recover() {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http does
		a.logger.Error("panic in a request", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}

// Close ends the connection to the gRPC server, and what is still under way on it.
func (a *API) Close() error { return a.conn.Close() }

// admit serves whom the rule lets through, and no page of another origin that was not
// named.
func (a *API) admit(rule guard.Rule, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.fromKnownOrigin(w, r, rule) {
			return
		}
		admitted, done, err := a.guard.HTTP(r, rule)
		if err != nil {
			WriteError(w, err)
			return
		}
		defer done()
		next.ServeHTTP(w, admitted)
	})
}

// asked serves what the route is for, asked for as it is to be.
func asked(route Route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !route.takes(r.Method) {
			w.Header().Set("Allow", route.Method)
			refuse(w, http.StatusMethodNotAllowed, reasonMethodNotAllowed, "this path takes "+route.Method+"; "+paths())
			return
		}
		if err := route.checkQuery(r.URL.RawQuery); err != nil {
			WriteError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Health answers that the process is there.
func Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
}

func readiness(ready func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			refuse(w, http.StatusServiceUnavailable, reasonNotReady, err.Error())
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
}
