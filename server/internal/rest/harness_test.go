package rest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/guard"
)

// scripted is an event service that does what a test says.
type scripted struct {
	wabastreamv1.UnimplementedEventServiceServer
	subscribe func(*wabastreamv1.SubscribeRequest, grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error
}

func (s scripted) Subscribe(req *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
	return s.subscribe(req, stream)
}

func (scripted) GetLogInfo(context.Context, *wabastreamv1.GetLogInfoRequest) (*wabastreamv1.GetLogInfoResponse, error) {
	return &wabastreamv1.GetLogInfoResponse{LogId: "log"}, nil
}

func (scripted) ListEvents(context.Context, *wabastreamv1.ListEventsRequest) (*wabastreamv1.ListEventsResponse, error) {
	return &wabastreamv1.ListEventsResponse{}, nil
}

// rig is an API in front of a scripted service.
type rig struct {
	url string
}

func newRig(t *testing.T, service scripted, origins ...string) rig {
	t.Helper()
	g := guard.New(guard.Config{Policy: access.Everyone(), Draining: t.Context()})
	memory := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.UnaryInterceptor(g.Unary), grpc.StreamInterceptor(g.Stream))
	wabastreamv1.RegisterEventServiceServer(server, service)
	wabastreamv1.RegisterAccountServiceServer(server, wabastreamv1.UnimplementedAccountServiceServer{})
	wabastreamv1.RegisterAdminServiceServer(server, wabastreamv1.UnimplementedAdminServiceServer{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(memory) }()
	api, err := New(Config{
		Dial: memory.DialContext, Guard: g, Origins: origins, Ready: func() error { return errors.New("starting") },
		Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("wa_id 4915112345678") }),
		Logger:  slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	require.NoError(t, err)
	front := httptest.NewServer(api)
	t.Cleanup(func() {
		front.Close()
		require.NoError(t, api.Close())
		server.Stop()
		require.NoError(t, <-served)
	})
	return rig{front.URL}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (r rig) do(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// requireStatus has the answer be a google.rpc.Status with a reason.
func (a answer) requireStatus(t *testing.T, status int, reason string) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.Equal(t, reason, reasonIn(t, a.body))
}

func reasonIn(t *testing.T, body string) string {
	t.Helper()
	st := new(spb.Status)
	require.NoError(t, protojson.Unmarshal([]byte(body), st), body)
	require.NotZero(t, st.GetCode())
	require.NotEmpty(t, st.GetMessage())
	require.NotEmpty(t, st.GetDetails())
	info := new(errdetails.ErrorInfo)
	require.NoError(t, st.GetDetails()[0].UnmarshalTo(info))
	require.Equal(t, "wabastream", info.GetDomain())
	return info.GetReason()
}
