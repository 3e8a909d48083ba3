package main

import (
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// TestScripts runs the command against fakes: a gRPC server at $ADDR that plays
// the script's file "stream", whose lines are frames of streams or answers of other
// calls, and an HTTP server at $HTTP.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setup,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"opened": opened, "usage": usage, "exits": exits},
	})
}

func setup(env *testscript.Env) error {
	s := &streamer{dir: env.WorkDir, sent: make(chan struct{}, 100)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	wabastreamv1.RegisterEventServiceServer(server, s)
	wabastreamv1.RegisterAccountServiceServer(server, accountant{streamer: s})
	wabastreamv1.RegisterAdminServiceServer(server, keeper{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	posts := httptest.NewServer(&receiver{dir: env.WorkDir})
	env.Defer(func() {
		server.Stop()
		posts.Close()
		if err := <-served; err != nil {
			panic(err)
		}
	})
	env.Setenv("ADDR", listener.Addr().String())
	// An address that may be anywhere for the client, and is here for the system.
	env.Setenv("NOT_LOCAL", strings.Replace(listener.Addr().String(), "127.0.0.1", "0.0.0.0", 1))
	env.Setenv("HTTP", posts.URL)
	env.Setenv("HTTP_ADDR", posts.Listener.Addr().String())
	env.Setenv("TZ", "UTC")
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
	// Under the race detector each command would wait a second before it exits.
	env.Setenv("GORACE", "atexit_sleep_ms=0")
	env.Setenv("ESCAPE", "\x1b[2J")
	env.Values["streamer"] = s
	return nil
}

// opened waits until the fake has sent a stream's last frame.
func opened(ts *testscript.TestScript, _ bool, _ []string) {
	s, ok := ts.Value("streamer").(*streamer)
	if !ok {
		ts.Fatalf("no streamer")
	}
	<-s.sent
}

// usage runs a command that must exit with code 2 and print nothing on standard
// output.
func usage(ts *testscript.TestScript, _ bool, args []string) {
	var exit *exec.ExitError
	if err := ts.Exec(args[0], args[1:]...); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
		ts.Fatalf("%q ended with %v, not with exit code 2", args, err)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("%q printed %q", args, out)
	}
}

// exits runs a command that must end with an exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("%q ended with %v, not with exit code %s", args[1:], err, args[0])
	}
}

// streamer plays the file "stream": a frame a line in protobuf's JSON form. A
// line "end CODE REASON" ends a stream, "hang" holds it until the client is
// gone; the next stream goes on with the line after. What was asked for is
// appended to the file "requests".
type streamer struct {
	wabastreamv1.UnimplementedEventServiceServer
	dir  string
	sent chan struct{} // one item for each stream whose frames were sent

	mu   sync.Mutex // guards line
	line int
}

func (s *streamer) Subscribe(request *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := appendLine(filepath.Join(s.dir, "requests"), protojson.MarshalOptions{}.Format(request)); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "stream"))
	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for s.line < len(lines) {
		line := lines[s.line]
		s.line++
		if code, ending := strings.CutPrefix(line, "end "); ending {
			return endOf(code)
		}
		if line == "hang" {
			s.sent <- struct{}{}
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		frame := &wabastreamv1.SubscribeResponse{}
		if err := protojson.Unmarshal([]byte(line), frame); err != nil {
			return status.Error(codes.FailedPrecondition, err.Error())
		}
		if err := stream.Send(frame); err != nil {
			return err
		}
	}
	return nil
}

func endOf(text string) error {
	name, reason, _ := strings.Cut(text, " ")
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	if code == codes.OK {
		return nil
	}
	s, err := status.New(code, "the server's words\x1b[2J").WithDetails(&errdetails.ErrorInfo{Domain: "wabastream", Reason: reason})
	if err != nil {
		return err
	}
	return s.Err()
}

// receiver stands in for a server's webhook. It appends what was posted to the
// file "posted", and answers by the last part of the path.
type receiver struct {
	dir string
	mu  sync.Mutex // serialises the file
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(request.Body)
	if err == nil {
		err = appendLine(filepath.Join(r.dir, "posted"), request.Method+" "+request.Header.Get("Content-Type")+" "+string(body))
	}
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case strings.HasSuffix(request.URL.Path, "/hostile"):
		http.Error(w, "full \x1b]0;owned\x07", http.StatusServiceUnavailable)
	case strings.HasSuffix(request.URL.Path, "/moved"):
		http.Redirect(w, request, "/webhooks/nxcloud", http.StatusFound)
	case strings.HasSuffix(request.URL.Path, "/signed") && !authentic(request.Header, body):
		http.Error(w, "bad signature", http.StatusUnauthorized)
	default:
		_, _ = io.WriteString(w, "success")
	}
}

// authentic checks a signature as NXCloud's signature page says, for the access
// key "key" with the secret "s3cret".
func authentic(header http.Header, body []byte) bool {
	text := fmt.Sprintf("accessKey=%s&action=%s&bizType=%s&ts=%s", "key", header.Get("action"), header.Get("biztype"), header.Get("ts"))
	if len(body) > 0 {
		text += fmt.Sprintf("&body=%s", body)
	}
	text += "&accessSecret=s3cret"
	want := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	if header.Get("algorithm") == "md5" {
		want = fmt.Sprintf("%x", md5.Sum([]byte(text)))
	}
	complete := header.Get("action") != "" && header.Get("biztype") != "" && len(header.Get("ts")) == len("1655710885431")
	return complete && header.Get("accesskey") == "key" && header.Get("sign") == want
}

func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
