//go:build examples

package behaviour_test

import (
	"os"
	"strings"
	"sync"
)

// framed makes a process of a page in a frame, which ends when that is closed.
func framed(name string, open command, receive func(*process, report)) *process {
	p := newProcess(name)
	var closing, ending sync.Once
	end := func() { ending.Do(func() { close(p.done) }) }
	p.frame = pages.frame(func(r report) {
		if r.Closed {
			end()
			return
		}
		receive(p, r)
	})
	go func() { // for a browser that ends before
		<-pages.ended
		end()
	}()
	shut := func() { closing.Do(func() { pages.shut(p.frame) }) }
	p.interrupt, p.kill = shut, shut
	open.Frame = p.frame
	pages.tell(open)
	return p
}

// launchEventSource opens a page with an EventSource. Its place is in the checkpoint.
func launchEventSource(c *consumer, args []string) *process {
	c.t.Helper()
	from, err := optionsOf(c, args).eventsURL(c.checkpoint)
	if err != nil {
		c.t.Fatal(err)
	}
	page := "/eventsource.html#" + strings.ReplaceAll(from, "%", "%25")
	return framed(c.name, command{Do: "open", Page: page}, func(p *process, r report) {
		switch {
		case r.Message != nil:
			p.take(*r.Message, c.checkpoint)
		case r.Refused != nil:
			p.exitCode = p.refuse(*r.Refused)
			go p.kill()
		default:
			p.note(r.Note)
		}
	})
}

// launchPage opens the page of examples/browser, fills its form in and follows. Its
// place is in localStorage.
func launchPage(c *consumer, args []string) *process {
	c.t.Helper()
	o := optionsOf(c, args)
	fields := map[string]string{
		"server": o.server, "token": o.token(c), "waba_ids": strings.Join(o.wabaIDs, " "), "types": strings.Join(o.types, ", "),
		"from": o.from, "on_gap": o.onGap, "heartbeat": o.heartbeat,
	}
	p := framed(c.name, command{Do: "follow", Page: "/browser/index.html", Fields: fields}, func(p *process, r report) {
		if r.Line != nil {
			p.line(*r.Line)
			return
		}
		p.note(r.Note)
		if why, ended := strings.CutPrefix(r.Note, "ended: "); ended {
			reason, _, _ := strings.Cut(why, ":")
			p.exitCode = exitCodeOf(reason)
			go p.kill()
		}
	})
	p.renew = func() {
		pages.tell(command{Do: "fill", Frame: p.frame, Fields: map[string]string{"token": o.token(c)}})
	}
	return p
}

// token is what the token file holds; empty if there is none.
func (o options) token(c *consumer) string {
	c.t.Helper()
	if o.tokenFile == "" {
		return ""
	}
	token, err := os.ReadFile(o.tokenFile)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// pageKeeper is the key in localStorage under which a page keeps its place.
type pageKeeper string

func (k pageKeeper) load() (string, bool, error) {
	answer, err := pages.ask(command{Do: "load", Key: string(k)})
	if err != nil || answer.Value == nil {
		return "", false, err
	}
	return *answer.Value + "\n", true, nil
}

func (k pageKeeper) store(content string) error {
	_, err := pages.ask(command{Do: "store", Key: string(k), Value: strings.TrimSuffix(content, "\n")})
	return err
}
