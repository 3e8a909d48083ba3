package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/wabastream/wabastream/server/internal/logtool"
)

// progressInterval is how often a line says how far a command is.
const progressInterval = 10 * time.Second

// newProgress shows how far a command is: a bar on a terminal, a line now and then
// elsewhere. Call finish before anything else is written to w.
func newProgress(w io.Writer, what string) (show logtool.Progress, finish func()) {
	if isTerminal(w) {
		return newBar(w, what)
	}
	last := time.Now()
	return func(done, total uint64) {
		if total > 0 && time.Since(last) >= progressInterval {
			last = time.Now()
			fmt.Fprintf(w, "%s: %d %%\n", what, 100*done/total)
		}
	}, func() {}
}

func newBar(w io.Writer, what string) (show logtool.Progress, finish func()) {
	bar := progressbar.NewOptions64(1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(40),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	return func(done, total uint64) {
			bar.ChangeMax64(int64(max(total, done, 1)))
			_ = bar.Set64(int64(done)) // a bar that cannot be drawn is no error
		}, func() {
			_ = bar.Clear()
		}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
