//go:build examples

package behaviour_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// browser is a headless Chromium. It has one page open, which opens others in frames as
// it is told; all are of one origin, which servers have to know.
type browser struct {
	origin   string
	commands chan command
	front    *http.Server
	cmd      *exec.Cmd
	log      string        // path of what it says
	came     chan struct{} // closed when its page asks for a command
	ended    chan struct{} // closed when it has ended
	asked    sync.Once

	mu     sync.Mutex // guards fields below it
	last   int        // number of the frame that was opened last
	frames map[int]func(report)
}

// command is what the page is to do.
type command struct {
	Do    string `json:"do"`
	Frame int    `json:"frame"`
	Page  string `json:"page,omitempty"`
	// Fields are filled into the page's form.
	Fields map[string]string `json:"fields,omitempty"`
	// Key is one of localStorage.
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
}

// report is what the page tells of a frame: one of its fields.
type report struct {
	Frame   int
	Message *message
	Line    *string // a row of a table
	Note    string
	Refused *string // the server's answer
	Value   *string // of localStorage
	Closed  bool
}

// startBrowser starts a browser that keeps what it has in the folder. It lives until
// close.
func startBrowser(folder string) (*browser, error) {
	program, err := chromium()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &browser{
		origin:   "http://" + listener.Addr().String(),
		commands: make(chan command), came: make(chan struct{}), ended: make(chan struct{}),
		log: filepath.Join(folder, "browser.log"), frames: make(map[int]func(report)),
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("testdata")))
	mux.Handle("/browser/", http.StripPrefix("/browser", http.FileServer(http.Dir("../browser"))))
	mux.HandleFunc("GET /command", b.serveCommand)
	mux.HandleFunc("POST /report", b.serveReport)
	b.front = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = b.front.Serve(listener) }()
	if err := b.run(program, filepath.Join(folder, "profile")); err != nil {
		return nil, errors.Join(err, b.front.Close())
	}
	return b, nil
}

// chromium returns the path of the browser.
func chromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no Chromium: apt-get install chromium")
}

// run starts the process and waits until its page is there.
func (b *browser) run(program, profile string) error {
	log, err := os.Create(b.log)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{
		"--headless", "--user-data-dir=" + profile, "--no-first-run", "--no-default-browser-check", "--disable-gpu",
		"--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--ignore-certificate-errors", // it knows no authority of a test's
		b.origin + "/control.html",
	}
	if os.Geteuid() == 0 { // whom Chromium's sandbox does not do for
		args = slices.Insert(args, 0, "--no-sandbox")
	}
	b.cmd = exec.Command(program, args...)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all its processes
	if err := b.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = b.cmd.Wait()
		close(b.ended)
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-b.came:
		return nil
	case <-b.ended:
	case <-timeout.C:
		b.kill()
	}
	said, _ := os.ReadFile(b.log)
	return fmt.Errorf("%s opened no page:\n%s", program, said)
}

func (b *browser) kill() {
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	<-b.ended
}

// close ends the browser.
func (b *browser) close() error {
	b.kill()
	return b.front.Close()
}

// frame makes the number of a new frame. What is reported of it is received, one report
// after the other.
func (b *browser) frame(receive func(report)) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	b.frames[b.last] = receive
	return b.last
}

// ask has a command done that is answered at once.
func (b *browser) ask(c command) (report, error) {
	answers := make(chan report, 1)
	c.Frame = b.frame(func(r report) { answers <- r })
	b.tell(c)
	select {
	case answer := <-answers:
		return answer, nil
	case <-b.ended:
		return report{}, errors.New("the browser has ended")
	}
}

// shut closes a frame: all that its page told before is received, then that it is
// closed.
func (b *browser) shut(frame int) { b.tell(command{Do: "close", Frame: frame}) }

// tell hands the command over; a browser that is gone does nothing any more.
func (b *browser) tell(c command) {
	select {
	case b.commands <- c:
	case <-b.ended:
	}
}

func (b *browser) serveCommand(w http.ResponseWriter, r *http.Request) {
	b.asked.Do(func() { close(b.came) })
	select {
	case c := <-b.commands:
		_ = json.NewEncoder(w).Encode(c)
	case <-r.Context().Done():
	}
}

func (b *browser) serveReport(w http.ResponseWriter, r *http.Request) {
	var reports []report
	if err := json.NewDecoder(r.Body).Decode(&reports); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, each := range reports {
		b.mu.Lock()
		receive := b.frames[each.Frame]
		if each.Closed {
			delete(b.frames, each.Frame)
		}
		b.mu.Unlock()
		if receive != nil {
			receive(each)
		}
	}
}
