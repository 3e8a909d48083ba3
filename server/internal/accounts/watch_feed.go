package accounts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// feed looks at what changes, once for all watches, and wakes those that it concerns,
// which then read it by themselves. It holds nothing of what it has seen, and runs while
// there is a watch.
type feed struct {
	state eventlog.State
	log   Log

	mu   sync.Mutex
	at   eventlog.Position // it has looked at everything up to here
	of   map[string]map[*interest]struct{}
	all  map[*interest]struct{}         // who is interested in every account
	stop func() (ended <-chan struct{}) // nil while it does not run
}

func newFeed(state eventlog.State, log Log) *feed {
	return &feed{state: state, log: log, of: make(map[string]map[*interest]struct{}), all: make(map[*interest]struct{})}
}

// interest is what a watch wants to be woken for. One goroutine uses it.
type interest struct {
	feed  *feed
	wabas []string // none is every account
	// first is where the first change is that the watch has not taken note of; zero is
	// that there is none. It is guarded by the feed's mutex.
	first eventlog.Sequence
	woken chan struct{}
}

// join has a watch woken for changes of some accounts, or of all if none is named, from
// what the state is now on.
func (f *feed) join(wabas []string) (*interest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop == nil {
		view, err := f.state.View()
		if err != nil {
			return nil, err
		}
		f.at = view.Position()
		view.Close()
		f.start(f.at)
	}
	i := &interest{feed: f, wabas: wabas, woken: make(chan struct{}, 1)}
	if len(wabas) == 0 {
		f.all[i] = struct{}{}
	}
	for _, waba := range wabas {
		if f.of[waba] == nil {
			f.of[waba] = make(map[*interest]struct{})
		}
		f.of[waba][i] = struct{}{}
	}
	return i, nil
}

// start has it run from a place on.
func (f *feed) start(at eventlog.Position) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	f.stop = func() <-chan struct{} { cancel(); return ended }
	go func() { defer close(ended); f.run(ctx, at) }()
}

// leave ends it. The last one waits for the feed to end.
func (i *interest) leave() {
	if ended := i.feed.forget(i); ended != nil {
		<-ended
	}
}

// forget returns what tells that the feed has ended, if nobody is interested any more.
func (f *feed) forget(i *interest) (ended <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, i)
	for _, waba := range i.wabas {
		if delete(f.of[waba], i); len(f.of[waba]) == 0 {
			delete(f.of, waba)
		}
	}
	if len(f.all)+len(f.of) == 0 {
		ended, f.stop = f.stop(), nil
	}
	return ended
}

// quiet takes note of what the watch was woken for, and returns the place up to which
// nothing else has concerned it. That is of use to one that has read everything it was
// woken for before.
func (i *interest) quiet() eventlog.Position {
	i.feed.mu.Lock()
	defer i.feed.mu.Unlock()
	at := i.feed.at
	if i.first != 0 {
		at = eventlog.Position{Log: at.Log, Sequence: i.first - 1}
	}
	i.first = 0
	select {
	case <-i.woken:
	default:
	}
	return at
}

// wake says that something concerns it. It runs under the feed's mutex.
func (i *interest) wake(first eventlog.Sequence) {
	if i.first == 0 || first < i.first {
		i.first = first
	}
	select {
	case i.woken <- struct{}{}:
	default:
	}
}

// run looks again and again, from a place on.
func (f *feed) run(ctx context.Context, at eventlog.Position) {
	for ctx.Err() == nil {
		err := f.state.WaitNote(ctx, at.Sequence)
		var found findings
		if err == nil {
			found, err = f.look(ctx, at)
		}
		if err != nil { // each watch finds out for itself, and tells its client
			found = findings{at: at, any: 1, unsure: true}
		}
		f.tell(ctx, found)
		at = found.at
		pause := time.NewTimer(watchPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// findings are where changes are: the first of each account, and of any. A feed that is
// unsure may have overlooked some.
type findings struct {
	at     eventlog.Position
	of     map[string]eventlog.Sequence
	any    eventlog.Sequence
	unsure bool
}

func (f *feed) look(ctx context.Context, since eventlog.Position) (findings, error) {
	view, err := f.state.View()
	if err != nil {
		return findings{}, err
	}
	defer view.Close()
	found := findings{at: view.Position(), of: make(map[string]eventlog.Sequence)}
	var malformed error
	err = view.Notes(since.Sequence, func(n eventlog.Note) bool {
		changes := new(wabastreamv1.AccountChanges)
		if malformed = proto.Unmarshal(n.Value, changes); malformed != nil {
			return false
		}
		for _, c := range changes.GetChanges() {
			if _, known := found.of[c.GetWabaId()]; !known {
				found.of[c.GetWabaId()] = n.At
			}
		}
		if found.any == 0 {
			found.any = n.At
		}
		return true
	})
	if malformed != nil {
		err = fmt.Errorf("decode changes: %w", malformed)
	}
	if err != nil {
		return findings{}, err
	}
	err = f.log.Check(ctx, since)
	if errors.Is(err, eventlog.ErrTrimmed) { // some may have been removed before
		found.any, found.unsure, err = 1, true, nil
	}
	return found, err
}

// tell wakes whom something concerns. Nobody is told any more by a feed that was stopped.
func (f *feed) tell(ctx context.Context, found findings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	f.at = found.at
	if found.any != 0 {
		for i := range f.all {
			i.wake(found.any)
		}
	}
	if found.unsure {
		for _, interested := range f.of {
			for i := range interested {
				i.wake(found.any)
			}
		}
	}
	for waba, first := range found.of {
		for i := range f.of[waba] {
			i.wake(first)
		}
	}
}
