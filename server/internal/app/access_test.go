package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
)

// consumer is one of an access file.
type consumer struct {
	name  string
	grant string // lines of YAML, without indentation
	// expireTime is when its token ends; empty is never.
	expireTime string
	token      string
	hash       string
	// otherHashes are of tokens that it has too.
	otherHashes []string
}

func newConsumer(name, grant string) *consumer {
	c := &consumer{name: name, grant: grant}
	c.token, c.hash = access.NewToken()
	return c
}

// roster is an access file.
type roster struct {
	path string
}

func newRoster(t *testing.T, consumers ...*consumer) roster {
	t.Helper()
	r := roster{filepath.Join(t.TempDir(), "access.yaml")}
	r.write(t, consumers...)
	return r
}

func (r roster) write(t *testing.T, consumers ...*consumer) {
	t.Helper()
	var text strings.Builder
	text.WriteString("consumers:\n")
	for _, c := range consumers {
		expiry := ""
		if c.expireTime != "" {
			expiry = fmt.Sprintf(", expire_time: %q", c.expireTime)
		}
		fmt.Fprintf(&text, "- name: %s\n  tokens:\n  - {hash: %q%s}\n", c.name, c.hash, expiry)
		for _, hash := range c.otherHashes {
			fmt.Fprintf(&text, "  - %q\n", hash)
		}
		for line := range strings.Lines(c.grant) {
			text.WriteString("  " + line)
		}
		text.WriteString("\n")
	}
	require.NoError(t, os.WriteFile(r.path, []byte(text.String()), 0o600))
}

// all is a grant of everything.
const all = "waba_ids: ['*']\nunattributed: true\ntypes: ['*']\nraw_json: true\npersonal_data: full\noperate: true\nmetrics: true"

// carrying is what calls with a token are made in.
func carrying(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// answer is what HTTP says.
type answer struct {
	code   int
	header http.Header
	body   string
}

func request(t *testing.T, method, url, body string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for name, values := range header {
		req.Header[name] = values
		if name == "Host" {
			req.Host = values[0]
		}
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func requireReason(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	st := status.Convert(err)
	require.Equal(t, code.String(), st.Code().String(), "%v", err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			require.Equal(t, reason, info.GetReason())
			require.Equal(t, "wabastream", info.GetDomain())
			return
		}
	}
	require.Fail(t, "no reason", "%v", err)
}

// No HTTP client can send what gRPC takes for an identity.
func TestHeadersAreNoIdentity(t *testing.T) {
	t.Parallel()
	reader, nobody := newConsumer("reader", all), newConsumer("nobody", "")
	config := testConfig(t)
	config.AccessFile = newRoster(t, reader, nobody).path
	a := startApp(t, config)
	api := "http://" + a.Addrs().API
	for _, name := range []string{"Wabastream-Relayed", "Grpc-Metadata-Wabastream-Relayed", "Grpc-Metadata-Authorization", "Grpcgateway-Authorization"} {
		header := http.Header{name: {"Bearer " + reader.token}}
		got := request(t, http.MethodGet, api+"/v1/log", "", header)
		require.Equal(t, http.StatusUnauthorized, got.code, name)
		require.Contains(t, got.body, "CREDENTIALS_MISSING")
		require.Equal(t, "Bearer", got.header.Get("WWW-Authenticate"))
		header["Authorization"] = []string{"Bearer " + nobody.token}
		got = request(t, http.MethodPost, api+"/v1/backups", "{}", header)
		require.Equal(t, http.StatusForbidden, got.code, name)
		require.Contains(t, got.body, "OPERATOR_REQUIRED")
	}
	got := request(t, http.MethodGet, api+"/v1/log", "", http.Header{"Authorization": {"Bearer " + reader.token}})
	require.Equal(t, http.StatusOK, got.code, got.body)
	_, err := wabastreamv1.NewEventServiceClient(a.conn).GetLogInfo(carrying(t.Context(), reader.token), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
}

// A server that asks who calls may stand behind a proxy and under any name; no page of
// another origin gets through all the same.
func TestWhoIsKnownMayComeFromAnywhere(t *testing.T) {
	t.Parallel()
	reader := newConsumer("reader", all)
	config := testConfig(t)
	config.AccessFile = newRoster(t, reader).path
	a := startApp(t, config)
	api := "http://" + a.Addrs().API + "/v1/log"
	proxied := http.Header{"Host": {"events.example.com"}, "X-Forwarded-For": {"10.0.0.1"}, "Via": {"x"}}
	require.Equal(t, http.StatusUnauthorized, request(t, http.MethodGet, api, "", proxied).code)
	proxied["Authorization"] = []string{"Bearer " + reader.token}
	require.Equal(t, http.StatusOK, request(t, http.MethodGet, api, "", proxied).code)
	ctx := metadata.AppendToOutgoingContext(carrying(t.Context(), reader.token), "via", "1.1 x")
	_, err := wabastreamv1.NewEventServiceClient(a.conn).GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{}, grpc.CallAuthority("events.example.com"))
	require.NoError(t, err)

	proxied["Origin"] = []string{"https://evil.example"}
	got := request(t, http.MethodGet, api, "", proxied)
	require.Equal(t, http.StatusForbidden, got.code)
	require.Contains(t, got.body, "ORIGIN_NOT_ALLOWED")
}

// An open server answers its own machine over gRPC too.
func TestOpenServerIsForItsOwnMachineOverGRPC(t *testing.T) {
	t.Parallel()
	a := startApp(t, testConfig(t))
	events := wabastreamv1.NewEventServiceClient(a.conn)
	call := func(ctx context.Context, options ...grpc.CallOption) error {
		_, err := events.GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{}, options...)
		return err
	}
	require.NoError(t, call(t.Context(), grpc.WaitForReady(true)))
	require.NoError(t, call(t.Context(), grpc.CallAuthority("localhost:9090")))
	requireReason(t, call(t.Context(), grpc.CallAuthority("evil.example:9090")), codes.PermissionDenied, "HOST_NOT_LOCAL")
	requireReason(t, call(metadata.AppendToOutgoingContext(t.Context(), "x-forwarded-for", "10.0.0.1")), codes.PermissionDenied, "PROXIED")
	sub, err := events.Subscribe(metadata.AppendToOutgoingContext(t.Context(), "forwarded", "for=x"), &wabastreamv1.SubscribeRequest{})
	require.NoError(t, err)
	_, err = sub.Recv()
	requireReason(t, err, codes.PermissionDenied, "PROXIED")
}

// Browsers speak HTTP/1.1 to a port without TLS, and there gRPC does not answer. With
// TLS a page that makes its name resolve here fails at the certificate.
func TestBrowsersGetNothingOfGRPC(t *testing.T) {
	t.Parallel()
	a := startApp(t, testConfig(t))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+a.Addrs().GRPC+"/wabastream.v1.EventService/GetLogInfo", strings.NewReader("\x00\x00\x00\x00\x00"))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/grpc")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err == nil {
		defer resp.Body.Close()
		require.NotEqual(t, http.StatusOK, resp.StatusCode)
	}
}
