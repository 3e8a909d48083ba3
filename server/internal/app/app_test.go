package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig(t *testing.T) Config {
	t.Helper()
	c := DefaultConfig()
	c.HTTPAddr, c.APIAddr, c.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.DataDir = t.TempDir()
	return c
}

func logger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// running is an app that serves; stop ends it and returns what Run returned.
type running struct {
	*App
	stop func() error
	done <-chan error
	conn *grpc.ClientConn
}

func startApp(t *testing.T, config Config) *running {
	t.Helper()
	a, err := New(t.Context(), config, "test", logger(t))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	conn, err := grpc.NewClient(a.Addrs().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	r := &running{App: a, done: done, conn: conn}
	r.stop = func() error {
		cancel()
		if r.done == nil {
			return nil
		}
		err := <-r.done
		r.done = nil
		return err
	}
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		require.NoError(t, r.stop())
	})
	return r
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestHealthReflectionAndRoutes(t *testing.T) {
	t.Parallel()
	a := startApp(t, testConfig(t))
	health, err := healthv1.NewHealthClient(a.conn).Check(t.Context(),
		&healthv1.HealthCheckRequest{Service: "wabastream.v1.EventService"}, grpc.WaitForReady(true))
	require.NoError(t, err)
	require.Equal(t, healthv1.HealthCheckResponse_SERVING, health.GetStatus())

	v1, err := reflectionv1.NewServerReflectionClient(a.conn).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, v1.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "wabastream.v1.EventService"}}))
	reply, err := v1.Recv()
	require.NoError(t, err)
	require.NotEmpty(t, reply.GetFileDescriptorResponse().GetFileDescriptorProto())
	alpha, err := reflectionv1alpha.NewServerReflectionClient(a.conn).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, alpha.CloseSend())

	for url, want := range map[string]int{
		"http://" + a.Addrs().API + "/readyz":            200,
		"http://" + a.Addrs().API + "/healthz":           200,
		"http://" + a.Addrs().API + "/metrics":           200,
		"http://" + a.Addrs().API + "/v1/log":            200,
		"http://" + a.Addrs().API + "/webhooks/nxcloud":  404,
		"http://" + a.Addrs().HTTP + "/healthz":          200,
		"http://" + a.Addrs().HTTP + "/metrics":          404,
		"http://" + a.Addrs().HTTP + "/v1/log":           404,
		"http://" + a.Addrs().HTTP + "/readyz":           404,
		"http://" + a.Addrs().HTTP + "/webhooks/nxcloud": 405,
		"http://" + a.Addrs().HTTP + "/webhooks/other":   405,
	} {
		status, body := get(t, url)
		require.Equal(t, want, status, "%s: %s", url, body)
	}
}

func TestMetricsTellOfTheProduct(t *testing.T) {
	t.Parallel()
	a := startApp(t, testConfig(t))
	_, text := get(t, "http://"+a.Addrs().API+"/metrics")
	for _, name := range []string{
		"wabastream_build_info", "wabastream_callbacks_total", "wabastream_events_appended_total",
		"wabastream_append_duration_seconds", "wabastream_log_events 0", "wabastream_log_bytes", "wabastream_streams", "wabastream_deliveries_total", "go_goroutines",
	} {
		require.Contains(t, text, name)
	}
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	config := testConfig(t)
	for name, set := range map[string]func(*Config){
		"http_addr": func(c *Config) { c.HTTPAddr = taken.Addr().String() },
		"api_addr":  func(c *Config) { c.APIAddr = taken.Addr().String() },
		"grpc_addr": func(c *Config) { c.GRPCAddr = taken.Addr().String() },
	} {
		broken := config
		set(&broken)
		_, err := New(t.Context(), broken, "test", logger(t))
		require.ErrorContains(t, err, name)
	}
	// The log's lock was released each time.
	a, err := New(t.Context(), config, "test", logger(t))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.NoError(t, a.Close(), "closing twice is fine")
}

func TestConfigurationMistakesAreNamed(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("\n"), 0o600))
	for want, set := range map[string]func(*Config){
		`api_addr: "0.0.0.0:1" is not a loopback`: func(c *Config) { c.APIAddr = "0.0.0.0:1" },
		"http_addr":                          func(c *Config) { c.HTTPAddr = "8080" },
		"data_dir":                           func(c *Config) { c.DataDir = "" },
		"shutdown_timeout":                   func(c *Config) { c.ShutdownTimeout = 0 },
		"retention_bytes":                    func(c *Config) { c.RetentionBytes = 5 },
		"retention_age":                      func(c *Config) { c.RetentionAge = -1 },
		"sources":                            func(c *Config) { c.Sources = nil },
		"access_file":                        func(c *Config) { c.AccessFile = "/no/such" },
		`cors_origins: "*"`:                  func(c *Config) { c.CORSOrigins = []string{"*"} },
		`cors_origins: "https://a.example/"`: func(c *Config) { c.CORSOrigins = []string{"https://a.example/"} },
		`cors_origins: "null"`:               func(c *Config) { c.CORSOrigins = []string{"null"} },
		`source "x": access_keys[0]: set exactly one`:              func(c *Config) { c.Sources = keyed(AccessKeyConfig{Key: "k"}) },
		"secret_env: the environment variable it names is not set": func(c *Config) { c.Sources = keyed(AccessKeyConfig{Key: "k", SecretEnv: "WABASTREAM_NO_SUCH"}) },
		"secret_file: read the file it names: no such file":        func(c *Config) { c.Sources = keyed(AccessKeyConfig{Key: "k", SecretFile: "/no/such"}) },
		"is empty": func(c *Config) { c.Sources = keyed(AccessKeyConfig{Key: "k", SecretFile: secret}) },
	} {
		config := testConfig(t)
		set(&config)
		_, err := New(t.Context(), config, "test", logger(t))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "configuration")
	}
}

func keyed(k AccessKeyConfig) []SourceConfig {
	return []SourceConfig{{Name: "x", AccessKeys: []AccessKeyConfig{k}}}
}

// A shutdown tells subscribers over gRPC and over REST, ends watches of other
// services, and is not held up by connections that never sent a request.
func TestShutdownTellsSubscribersAndIsPrompt(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.ShutdownTimeout = time.Minute
	a := startApp(t, config)
	sub, err := wabastreamv1.NewEventServiceClient(a.conn).Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{}, grpc.WaitForReady(true))
	require.NoError(t, err)
	_, err = sub.Recv()
	require.NoError(t, err)
	watch, err := healthv1.NewHealthClient(a.conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	resp, err := http.Post("http://"+a.Addrs().API+"/v1/events:subscribe", "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	for _, addr := range []string{a.Addrs().HTTP, a.Addrs().API, a.Addrs().GRPC} {
		silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		require.NoError(t, err)
		defer silent.Close()
	}

	begin := time.Now()
	require.NoError(t, a.stop())
	require.Less(t, time.Since(begin), 4*time.Second, "net/http alone waits five seconds for a silent connection")
	var last error
	for last == nil {
		_, last = sub.Recv()
	}
	require.Equal(t, codes.Unavailable, status.Code(last))
	var text strings.Builder
	for lines.Scan() {
		text.WriteString(lines.Text())
	}
	require.Contains(t, text.String(), "DRAINING")
	for err == nil {
		_, err = watch.Recv()
	}
	require.Error(t, err)
}

// A callback that never ends costs the subscribers nothing: they are told, and
// the shutdown keeps its limit.
func TestShutdownTellsSubscribersDespiteASlowSender(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.ShutdownTimeout = 600 * time.Millisecond
	a := startApp(t, config)
	sub, err := wabastreamv1.NewEventServiceClient(a.conn).Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{}, grpc.WaitForReady(true))
	require.NoError(t, err)
	_, err = sub.Recv()
	require.NoError(t, err)
	slow, err := new(net.Dialer).DialContext(t.Context(), "tcp", a.Addrs().HTTP)
	require.NoError(t, err)
	defer slow.Close()
	_, err = slow.Write([]byte("POST /webhooks/nxcloud HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"))
	require.NoError(t, err)
	require.NoError(t, a.stop())
	var last error
	for last == nil {
		_, last = sub.Recv()
	}
	require.Equal(t, codes.Unavailable, status.Code(last))
	require.Contains(t, last.Error(), "shutting down")
}

// A connection to gRPC that never says anything, or stops in the middle of its
// handshake, cannot hold up the shutdown.
func TestShutdownDoesNotWaitForHandshakes(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.ShutdownTimeout = time.Second
	a := startApp(t, config)
	for _, said := range []string{"", "PRI * HTTP/2"} {
		probe, err := new(net.Dialer).DialContext(t.Context(), "tcp", a.Addrs().GRPC)
		require.NoError(t, err)
		defer probe.Close()
		_, err = probe.Write([]byte(said))
		require.NoError(t, err)
	}
	begin := time.Now()
	require.NoError(t, a.stop())
	require.Less(t, time.Since(begin), 5*time.Second, "gRPC alone waits for the handshake's timeout")
}

// A server that is open on loopback answers its own machine only.
func TestOpenServerIsForItsOwnMachine(t *testing.T) {
	config := testConfig(t)
	t.Setenv("WABASTREAM_TEST_SECRET", "s3cret")
	config.Sources = append(config.Sources, SourceConfig{Name: "signed", AccessKeys: []AccessKeyConfig{{Key: "k", SecretEnv: "WABASTREAM_TEST_SECRET"}}})
	a := startApp(t, config)
	config.InsecureListen = true
	config.DataDir = t.TempDir()
	open := startApp(t, config)
	for name, c := range map[string]struct {
		url, host, header string
		want              int
	}{
		"own machine":        {"http://" + a.Addrs().API + "/v1/log", "", "", 200},
		"by name":            {"http://" + a.Addrs().API + "/v1/log", "localhost:8081", "", 200},
		"IPv6":               {"http://" + a.Addrs().API + "/v1/log", "[::1]:8081", "", 200},
		"another host":       {"http://" + a.Addrs().API + "/v1/log", "evil.example:8081", "", 403},
		"metrics":            {"http://" + a.Addrs().API + "/metrics", "evil.example", "", 403},
		"proxied":            {"http://" + a.Addrs().API + "/v1/log", "", "X-Forwarded-For", 403},
		"proxied, standard":  {"http://" + a.Addrs().API + "/v1/log", "", "Forwarded", 403},
		"proxied, via":       {"http://" + a.Addrs().API + "/v1/log", "", "Via", 403},
		"another page":       {"http://" + a.Addrs().API + "/v1/log", "", "Origin", 403},
		"another page, new":  {"http://" + a.Addrs().API + "/v1/log", "", "Sec-Fetch-Site", 403},
		"callback":           {"http://" + a.Addrs().HTTP + "/webhooks/nxcloud", "evil.example", "", 403},
		"callback of a page": {"http://" + a.Addrs().HTTP + "/webhooks/nxcloud", "", "Origin", 403},
		"callback, proxied":  {"http://" + a.Addrs().HTTP + "/webhooks/nxcloud", "", "X-Forwarded-Proto", 403},
		"signed source":      {"http://" + a.Addrs().HTTP + "/webhooks/signed", "hooks.example", "X-Forwarded-For", 405},
		"health":             {"http://" + a.Addrs().HTTP + "/healthz", "hooks.example", "X-Forwarded-For", 200},
		"risk accepted":      {"http://" + open.Addrs().API + "/v1/log", "evil.example", "Via", 200},
		"risk accepted, too": {"http://" + open.Addrs().HTTP + "/webhooks/nxcloud", "evil.example", "Via", 405},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, nil)
		require.NoError(t, err)
		req.Host = c.host
		if c.header != "" {
			req.Header.Set(c.header, "x")
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.want, resp.StatusCode, name)
	}
}

// What the gateway would take for "from the newest event on" is refused.
func TestRESTRefusesLostCursors(t *testing.T) {
	t.Parallel()
	a := startApp(t, testConfig(t))
	for name, c := range map[string]struct {
		path, body string
		want       int
	}{
		"empty body":     {"/v1/events:subscribe", "", 400},
		"null":           {"/v1/events:subscribe", "null", 400},
		"null member":    {"/v1/events:subscribe", `{"afterCursor":null}`, 400},
		"two texts":      {"/v1/events:subscribe", `{}{"afterCursor":"x"}`, 400},
		"array":          {"/v1/events:list", `[]`, 400},
		"query":          {"/v1/events:subscribe?after_cursor=x", `{}`, 400},
		"not UTF-8":      {"/v1/events/%ff", `{}`, 400},
		"too large":      {"/v1/events:list", `{"pageToken":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		"the defaults":   {"/v1/events:list", `{}`, 200},
		"unknown member": {"/v1/events:list", `{"curser":"x"}`, 400},
	} {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Post("http://"+a.Addrs().API+c.path, "application/json", strings.NewReader(c.body))
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.want, resp.StatusCode, "%s: %s", name, text)
		if c.want != 200 {
			require.Contains(t, string(text), "REQUEST_INVALID", name)
		}
	}
}

// A client that neither reads nor leaves cannot hold up the shutdown for longer
// than its limit.
func TestShutdownCutsOffWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.ShutdownTimeout = 300 * time.Millisecond
	a := startApp(t, config)
	for i := range 20 {
		body := fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat("x", 500<<10))
		resp, err := http.Post("http://"+a.Addrs().HTTP+"/webhooks/nxcloud", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
	}
	sub, err := wabastreamv1.NewEventServiceClient(a.conn).Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
	})
	require.NoError(t, err)
	_, err = sub.Recv()
	require.NoError(t, err)
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, a.stop())
}

func TestTeardownRunsEveryStepLastFirst(t *testing.T) {
	t.Parallel()
	var order []string
	var down teardown
	for _, name := range []string{"a", "b", "c"} {
		down.push(name, func(context.Context) error {
			order = append(order, name)
			if name == "b" {
				return errors.New("stuck")
			}
			return nil
		})
	}
	require.EqualError(t, down.run(t.Context()), "b: stuck")
	require.Equal(t, []string{"c", "b", "a"}, order)
	require.NoError(t, down.run(t.Context()))
	require.Len(t, order, 3)
}
