package docs

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Bool("as-written", false, "run the README's blocks to the letter, in this repository, with the ports that they name")
	flag.Parse()
	goleak.VerifyTestMain(m)
}

func asWritten() bool { return flag.Lookup("as-written").Value.String() == "true" }

func TestCommands(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if !asWritten() { // else the README says how to build them
		build(t, bin)
	}
	for _, file := range pages(t) {
		if asWritten() && file != "README.md" {
			continue
		}
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, bin)
			for _, b := range blocksOf(t, file) {
				if b.asWritten && !asWritten() || b.server != "open" && asWritten() {
					continue // the other way of running them has it
				}
				t.Logf("%s:%d: %s", file, b.line, b.name)
				r.run(t, &b)
			}
		})
	}
}

// build makes what the commands call. What it compiles is part of what the test
// depends on.
func build(t *testing.T, bin string) {
	t.Helper()
	for _, dir := range []string{"client", "server", "gen"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root(t), dir), func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		}))
	}
	for name, arguments := range map[string][]string{
		"wabastreamd": {"./server"},
		"wabastream":  {"./client/cmd/wabastream"},
		"grpcurl":     {"-modfile=tools/grpcurl/go.mod", "github.com/fullstorydev/grpcurl/cmd/grpcurl"},
	} {
		command := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", filepath.Join(bin, name)}, arguments...)...)
		command.Dir = root(t)
		printed, err := command.CombinedOutput()
		require.NoError(t, err, string(printed))
	}
}

// reader does what a page says, block after block.
type reader struct {
	bin, dir string
	// exported is the file with the variables that the blocks before exported.
	exported string
	servers  map[string]*server
	// served is the server that a block of the page started last, replaced those that
	// ran before it.
	served   *server
	replaced []*server
	// staying are the blocks that go on beside those that follow them.
	staying []*following
}

func newReader(t *testing.T, bin string) *reader {
	t.Helper()
	home := t.TempDir()
	r := &reader{bin: bin, dir: filepath.Join(home, "page"), exported: filepath.Join(home, "exported"), servers: map[string]*server{}}
	require.NoError(t, os.Mkdir(r.dir, 0o700))
	if asWritten() {
		r.dir = root(t)
	}
	t.Cleanup(func() {
		for _, f := range r.staying {
			f.interrupt()
		}
		r.served.stop(t, syscall.SIGTERM)
		for _, s := range r.servers {
			s.stop(t, syscall.SIGTERM)
		}
	})
	return r
}

// run runs one block and checks what it prints.
func (r *reader) run(t *testing.T, b *block) {
	t.Helper()
	current := r.serverFor(t, b)
	if b.afterKill {
		current.stop(t, syscall.SIGKILL)
		current.start(t)
	}
	text := b.text
	if !asWritten() && current != nil {
		text = strings.NewReplacer("127.0.0.1:8080", current.http, "127.0.0.1:8081", current.api, "127.0.0.1:9090", current.grpc).Replace(text)
	}
	var printed string
	var code int
	switch {
	case b.serves:
		printed = r.serve(t, text)
	case b.language == "go":
		printed, code = r.runGo(t, text)
	case b.today:
		onOneDay(time.Now, func() {
			_, code = r.finish(t, r.command(t, "wabastream send --now "+b.posts, current))
			require.Zero(t, code, "%s: post %s", b.name, b.posts)
			printed, code = r.finish(t, r.command(t, text, current))
		})
	case b.stays:
		f := r.follow(t, b, text, current)
		r.staying = append(r.staying, f)
		printed = f.printed.String()
	case b.posts != "":
		f := r.follow(t, b, text, current)
		f.interrupt()
		printed = f.printed.String()
	default:
		printed, code = r.finish(t, r.command(t, text, current))
	}
	require.Equal(t, b.exit, code, "%s:\n%s\nprinted:\n%s", b.name, text, printed)
	for _, has := range b.has {
		require.True(t, has.MatchString(printed), "%s does not print %q:\n%s\nprinted:\n%s", b.name, has, text, printed)
	}
	if b.ends {
		r.goBack(t)
	}
	for _, not := range b.not {
		require.False(t, not.MatchString(printed), "%s prints %q:\n%s\nprinted:\n%s", b.name, not, text, printed)
	}
}

// serverFor is the server that a block speaks to, running; nil where it is the
// page's own affair.
func (r *reader) serverFor(t *testing.T, b *block) *server {
	t.Helper()
	if b.serves || r.served != nil && b.server == "open" || asWritten() {
		return r.served
	}
	s, ok := r.servers[b.server]
	if !ok {
		s = newServer(t, b.server, r.bin, r.dir, r.environment())
		s.start(t)
		r.servers[b.server] = s
	}
	return s
}

// environment is that of the commands: nothing of whoever runs the test.
func (r *reader) environment() []string {
	if asWritten() {
		return os.Environ()
	}
	env := []string{
		"PATH=" + r.bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + filepath.Join(r.dir, "home"), "XDG_CONFIG_HOME=" + filepath.Join(r.dir, "config"),
		"TZ=UTC", "LC_ALL=C.UTF-8",
	}
	return env
}

// command is a block as a process of its own group. It goes on where the block before
// it left off.
func (r *reader) command(t *testing.T, text string, current *server) *exec.Cmd {
	t.Helper()
	script := r.goOn()
	if !asWritten() && current != nil { // the client's defaults
		script += "export WABASTREAM_ADDR=" + current.grpc + " WABASTREAM_URL=http://" + current.http + "/webhooks/nxcloud\n"
	}
	script += text + "\nexport -p >'" + r.exported + "'\n"
	command := exec.Command("bash", "-c", script)
	command.Dir, command.Env = r.dir, r.environment()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

// goOn is how a script begins that has what the blocks before it exported.
func (r *reader) goOn() string {
	return "set -eo pipefail\n[ ! -e '" + r.exported + "' ] || . '" + r.exported + "'\n"
}

// finish runs a command to its end.
func (r *reader) finish(t *testing.T, command *exec.Cmd) (printed string, code int) {
	t.Helper()
	limit := patience
	if asWritten() {
		limit = 40 * time.Minute // all tests
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	both := &output{changed: make(chan struct{}, 1)}
	command.Stdout, command.Stderr = both, both
	require.NoError(t, command.Start())
	defer context.AfterFunc(ctx, func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) })()
	var exit *exec.ExitError
	if err := command.Wait(); err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return both.String(), command.ProcessState.ExitCode()
}

// serve starts what a block starts, in place of what an earlier one did.
func (r *reader) serve(t *testing.T, text string) string {
	t.Helper()
	before := r.served
	if before == nil {
		before = r.servers["open"]
	}
	before.stop(t, syscall.SIGTERM)
	r.replaced = append(r.replaced, before)
	env := r.environment()
	if !asWritten() {
		env = append(env, anyPorts()...)
	}
	r.served = &server{command: []string{"bash", "-c", r.goOn() + "exec " + text}, dir: r.dir, env: env}
	r.served.start(t)
	return r.served.printed.String()
}

// goBack ends the server that was started last, and has the one before again.
func (r *reader) goBack(t *testing.T) {
	t.Helper()
	require.NotEmpty(t, r.replaced, "no block serves")
	r.served.stop(t, syscall.SIGTERM)
	last := len(r.replaced) - 1
	r.served, r.replaced = r.replaced[last], r.replaced[:last]
	if r.served != nil {
		r.served.start(t)
	}
}

// runGo runs a program: as written in a module of its own, else in this one.
func (r *reader) runGo(t *testing.T, text string) (printed string, code int) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o600))
	if asWritten() {
		return r.finish(t, r.command(t, "cd '"+dir+"'\ngo mod init consumer\n"+
			"go mod edit -replace 'github.com/wabastream/wabastream="+root(t)+"'\ngo mod tidy\ngo run .", nil))
	}
	command := exec.Command("go", "build", "-o", filepath.Join(dir, "consumer"), filepath.Join(dir, "main.go"))
	command.Dir = root(t)
	built, err := command.CombinedOutput()
	require.NoError(t, err, string(built))
	return r.finish(t, r.command(t, "cd '"+dir+"'\n./consumer", nil))
}
