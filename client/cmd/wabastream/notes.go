package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// notes tells people on standard error how the subscription fares. It belongs to
// the goroutine of the loop.
type notes struct {
	out  io.Writer
	addr string
	// chatty says to tell also what is no trouble.
	chatty bool
	// explain adds what to do about an error.
	explain func(error) error
	// giveUp, when set, is called when the first stream cannot be opened: most
	// likely the address is wrong. failure is then what to tell.
	giveUp  func()
	failure error

	connected bool
	cursor    string
	// told is the trouble that was told last, until there is a stream again: one
	// that stays is told once.
	told string
}

func (n *notes) say(format string, args ...any) {
	if n.chatty {
		n.trouble(format, args...)
	}
}

func (n *notes) trouble(format string, args ...any) {
	fmt.Fprintln(n.out, "--", clean(fmt.Sprintf(format, args...)))
}

// observe is told of every frame and every lost stream.
func (n *notes) observe(notice client.Notice) {
	n.cursor = notice.Cursor
	if notice.Err != nil {
		n.lost(notice)
		return
	}
	switch frame := notice.Frame.GetFrame().(type) {
	case *wabastreamv1.SubscribeResponse_Ready:
		n.ready(frame.Ready)
	case *wabastreamv1.SubscribeResponse_CaughtUp:
		n.say("caught up with the log")
	case *wabastreamv1.SubscribeResponse_FellBehind:
		n.say("slower than events arrive: reading them from the log, none is lost")
	case *wabastreamv1.SubscribeResponse_Closing:
		n.say("the server ends this stream: %s", frame.Closing.GetReason())
	}
}

// gap says what is missing from what is printed next.
func (n *notes) gap(gap *client.GapError) {
	if len(gap.Types) == 0 {
		n.trouble("gap: every event between cursor %s and cursor %s was removed by retention; going on behind it", gap.From, gap.To)
		return
	}
	n.trouble("gap: events of type %s between cursor %s and cursor %s were removed by retention; those of other types follow",
		strings.Join(gap.Types, ", "), gap.From, gap.To)
}

func (n *notes) ready(ready *wabastreamv1.Ready) {
	switch {
	case !n.connected:
		n.say("connected to %s, log %s; times are local (%s)", n.addr, ready.GetLogId(), time.Now().Format("MST"))
		for _, warning := range ready.GetWarnings() {
			n.trouble("warning: %s", warning)
		}
	case n.told != "":
		n.trouble("connected again")
	}
	n.connected, n.told = true, ""
}

func (n *notes) lost(notice client.Notice) {
	if !n.connected && n.giveUp != nil {
		hint := "--wait keeps trying"
		if where := unreachableHint(notice.Err); where != "" {
			hint = where + ", " + hint
		}
		n.failure = fmt.Errorf("no stream from %s: %w; %s", n.addr, notice.Err, hint)
		n.giveUp()
		return
	}
	if trouble := n.describe(notice.Err); trouble != n.told {
		n.trouble("%s", trouble)
		n.told = trouble
	}
}

// describe leaves out the transport's words about a server that was there
// before: most likely it is being restarted. Of one that never was, they may
// tell what to mend.
func (n *notes) describe(lost error) string {
	e, ok := errors.AsType[*client.Error](lost)
	if !ok || e.Code != codes.Unavailable || e.Reason != "" {
		return fmt.Sprintf("lost the stream, trying again: %v", n.explain(lost))
	}
	const text = "server not reachable, trying again"
	if n.connected {
		return text
	}
	return fmt.Sprintf("%s: %v", text, lost)
}

// printed notes how far standard output has come.
func (n *notes) printed(event *wabastreamv1.Event) { n.cursor = event.GetCursor() }

func (n *notes) resumeHint() {
	if n.cursor != "" {
		n.say("to go on from here, use --from cursor:%s", n.cursor)
	}
}
