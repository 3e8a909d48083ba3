//go:build examples

package behaviour_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// server is a server process that is brought down and up again on the same data,
// behind networks whose addresses stay. Its methods are for the test's goroutine.
type server struct {
	grpc, api *network

	t    *testing.T
	data string
	args []string
	dial []client.Option // how held and others call it

	cmd      *exec.Cmd
	ended    chan error // how the process ended
	callback string     // where to post
	scheme   string     // of the API
	posted   int
}

// newServer starts a server with an empty log.
func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{t: t, grpc: newNetwork(t), api: newNetwork(t), data: t.TempDir(), args: args}
	s.start()
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
	})
	return s
}

// start starts the process and waits until it serves.
func (s *server) start() {
	s.t.Helper()
	args := append([]string{
		"--http-addr=127.0.0.1:0", "--api-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", "--data-dir=" + s.data,
		"--cors-origins=" + pages.origin,
	}, s.args...)
	s.cmd = exec.Command(filepath.Join(programs, "wabastreamd"), args...)
	s.cmd.Stderr = s.t.Output()
	out, err := s.cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, s.cmd.Start())
	s.ended = make(chan error, 1)
	greeting := s.readGreeting(out)
	s.callback = find(s.t, greeting, `callbacks +(http://[^/]+)`)[1] + "/webhooks/nxcloud"
	s.grpc.leadTo(find(s.t, greeting, `gRPC +(\S+)`)[1])
	rest := find(s.t, greeting, `REST +(https?)://([^/]+)`)
	s.scheme = rest[1]
	s.api.leadTo(rest[2])
}

func (s *server) readGreeting(out io.Reader) string {
	var greeting strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "grpcurl") {
		greeting.WriteString(lines.Text() + "\n")
	}
	go func(cmd *exec.Cmd, ended chan<- error) {
		_, _ = io.Copy(io.Discard, out)
		ended <- cmd.Wait()
	}(s.cmd, s.ended)
	return greeting.String()
}

// find returns the first match with its groups.
func find(t *testing.T, text, pattern string) []string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	require.NotNil(t, match, "%s in:\n%s", pattern, text)
	return match
}

// kill ends the process without a word.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.gone()
}

// stop ends it in order.
func (s *server) stop() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(s.t, s.gone())
}

func (s *server) gone() error {
	err := <-s.ended
	s.cmd = nil
	s.grpc.leadTo("")
	s.api.leadTo("")
	return err
}

// url is where the API is for consumers.
func (s *server) url() string { return s.scheme + "://" + s.api.address() }

// lose makes every connection of consumers silent, without closing it.
func (s *server) lose() {
	s.grpc.lose()
	s.api.lose()
}

// breakLost closes those connections.
func (s *server) breakLost() {
	s.grpc.breakLost()
	s.api.breakLost()
}

// freeze makes the process stand still until it is thawed.
func (s *server) freeze() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGSTOP))
}

func (s *server) thaw() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGCONT))
}

// post posts so many callbacks, each of an account and of the next of several kinds.
func (s *server) post(n int) {
	s.t.Helper()
	for range n {
		s.posted++
		s.postBody(fmt.Appendf(nil, bodies[s.posted%len(bodies)], account(s.posted), s.posted))
	}
}

// bodies are callbacks that lack an account and something that makes them different.
var bodies = []string{ //nolint:gochecknoglobals // never changed
	`{"field":"account_update","value":{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE","waba_ban_date":"October 22, 2025"},"wabaId":%q,"n":%d}}`,
	`{"field":"account_review_update","value":{"decision":"APPROVED","wabaId":%q,"n":%d}}`,
	`{"field":"phone_number_name_update","value":{"decision":"REJECTED","rejection_reason":"NONE","wabaId":%q,"n":%d}}`,
	`{"field":"phone_number_quality_update","value":{"event":"DOWNGRADE","current_limit":"TIER_50","wabaId":%q,"n":%d}}`,
	`{"field":"invented","value":{"event":"Über\tall","wabaId":%q,"n":%d}}`,
	`{"field":"account_update","value":{"event":"NEW\nTHING","wabaId":%q,"n":%d}}`,
}

func account(n int) string { return fmt.Sprint("waba", n%5) }

func (s *server) postBody(body []byte) {
	s.t.Helper()
	resp, err := http.Post(s.callback, "application/json", bytes.NewReader(body))
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
}

// held returns every event that the server holds and that the filter selects.
func (s *server) held(filters ...*wabastreamv1.EventFilter) []*wabastreamv1.Event {
	s.t.Helper()
	c := s.client()
	defer c.Close()
	var events []*wabastreamv1.Event
	for event, err := range c.Subscribe(s.t.Context(), &wabastreamv1.SubscribeRequest{
		Filters: filters,
		Start:   &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:    &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
	}) {
		require.NoError(s.t, err)
		events = append(events, event)
	}
	return events
}

func (s *server) client() *client.Client {
	s.t.Helper()
	c, err := client.New(s.grpc.end(), s.dial...)
	require.NoError(s.t, err)
	return c
}

// awaitTrim waits until retention has removed something.
func (s *server) awaitTrim() {
	s.t.Helper()
	c := s.client()
	defer c.Close()
	count := func() uint64 {
		info, err := c.API().GetLogInfo(s.t.Context(), &wabastreamv1.GetLogInfoRequest{})
		require.NoError(s.t, err)
		return info.GetEventCount()
	}
	before := count()
	require.Eventually(s.t, func() bool { return count() < before }, patience, 500*time.Millisecond, "nothing was removed")
}

// backup copies the log while the server runs, and returns the copy's folder.
func (s *server) backup() string {
	s.t.Helper()
	conn, err := grpc.NewClient(s.grpc.end(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(s.t, err)
	defer conn.Close()
	made, err := wabastreamv1.NewAdminServiceClient(conn).CreateBackup(s.t.Context(), &wabastreamv1.CreateBackupRequest{})
	require.NoError(s.t, err)
	return made.GetBackup().GetPath()
}
