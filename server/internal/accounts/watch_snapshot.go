package accounts

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// A snapshot is read in pieces, each of the state as it is then, so that a client that
// is slow to receive holds up nothing. What has changed since it began is sent again in
// the end, until nothing has: then all that was sent is of one moment.

const (
	// pieceRows and pieceBytes bound what one frame holds, about.
	pieceRows  = 1000
	pieceBytes = 256 << 10
)

// snapshot sends the accounts and numbers as they are, and sets where that is.
func (w *watcher) snapshot(ctx context.Context) error {
	first := true
	for _, kind := range []byte{accountKind, numberKind} {
		ranges, after := w.scope.ranges(kind, slices.Collect(maps.Keys(w.named))), []byte(nil)
		for more := true; more; {
			p, err := w.pieceAfter(kind, ranges, after)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return w.service.failed(err)
			}
			if first { // everything that is sent is of here or later
				w.at, first = p.at, false
			}
			if err := w.sendPiece(p); err != nil {
				return err
			}
			after, more = p.last, p.more
		}
	}
	return w.sendChanged(ctx)
}

// piece is what one frame of a snapshot has.
type piece struct {
	*answer
	at       eventlog.Position
	snapshot wabastreamv1.AccountSnapshot
	size     int
	scanned  int
	last     []byte
	more     bool
}

// pieceAfter reads the next accounts or numbers.
func (w *watcher) pieceAfter(kind byte, ranges []keyRange, after []byte) (*piece, error) {
	a, err := w.service.open(w.scope)
	if err != nil {
		return nil, err
	}
	defer a.close()
	p := &piece{answer: a, at: a.view.Position()}
	failed := a.scanAfter(ranges, after, func(key, value []byte) bool {
		if p.scanned == maxScanned || p.full() {
			p.more = true
			return false
		}
		p.scanned++
		p.last = append(p.last[:0], key...)
		err = p.add(kind, value)
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return p, failed
}

func (p *piece) full() bool {
	return p.size >= pieceBytes || len(p.snapshot.GetAccounts())+len(p.snapshot.GetPhoneNumbers()) >= pieceRows
}

// add takes a row, if the caller may see something of it.
func (p *piece) add(kind byte, value []byte) error {
	if kind == accountKind {
		account := new(wabastreamv1.Account)
		if err := decodeRow(value, account); err != nil || !p.showAccount(account) {
			return err
		}
		judgeAccount(account, p.now)
		p.snapshot.Accounts = append(p.snapshot.Accounts, account)
		p.size += len(value)
		return nil
	}
	n := new(wabastreamv1.PhoneNumber)
	if err := decodeRow(value, n); err != nil || !p.account(n.GetWabaId()) || !p.showNumber(n) {
		return err
	}
	judgeNumber(n, nil)
	p.snapshot.PhoneNumbers = append(p.snapshot.PhoneNumbers, n)
	p.size += len(value)
	return nil
}

// sendPiece sends what there is, and if that is nothing, a heartbeat when one is due.
func (w *watcher) sendPiece(p *piece) error {
	if p.size == 0 {
		return w.beat("")
	}
	return w.send("", &wabastreamv1.WatchAccountsResponse{Frame: &wabastreamv1.WatchAccountsResponse_Snapshot{Snapshot: &p.snapshot}})
}

// sendChanged sends what has changed since the snapshot began, until nothing has.
func (w *watcher) sendChanged(ctx context.Context) error {
	for more := true; more; {
		a, err := w.service.open(w.scope)
		if err != nil {
			return err
		}
		page, p, err := w.changedSince(a)
		a.close()
		if err == nil {
			err = w.complete(ctx, w.at)
		}
		if err != nil {
			return w.service.failed(err)
		}
		if err := w.sendPiece(p); err != nil {
			return err
		}
		w.at, more = page.at, page.more
	}
	return nil
}

// changedSince reads what events after the snapshot's place have changed, as it is now.
func (w *watcher) changedSince(a *answer) (*notePage, *piece, error) {
	keys := make(map[string]bool)
	page, err := a.notesAfter(w.at, func(c *wabastreamv1.AccountChange) bool {
		if w.wants(c.GetWabaId()) && w.scope.account(c.GetWabaId()) {
			if c.GetWabaId() != "" {
				keys[string(accountKey(c.GetWabaId()))] = true
			}
			if c.GetBusinessPhone() != "" {
				keys[string(numberKey(c.GetWabaId(), c.GetBusinessPhone()))] = true
			}
		}
		return false
	})
	if err != nil {
		return nil, nil, err
	}
	p := &piece{answer: a}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		value, err := a.view.Get([]byte(key))
		if err == nil && value != nil {
			err = p.add(key[0], value)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return page, p, nil
}

// notePage is some of the changes after a position.
type notePage struct {
	changes []*wabastreamv1.AccountChange
	at      eventlog.Position // up to here
	more    bool
}

// notesAfter reads changes and keeps those that keep says.
func (a *answer) notesAfter(after eventlog.Position, keep func(*wabastreamv1.AccountChange) bool) (*notePage, error) {
	page, size, read := &notePage{at: after}, 0, 0
	var err error
	failed := a.view.Notes(after.Sequence, func(n eventlog.Note) bool {
		if read == pieceRows || size >= pieceBytes {
			page.more = true
			return false
		}
		read, size = read+1, size+len(n.Value)
		changes := new(wabastreamv1.AccountChanges)
		if err = proto.Unmarshal(n.Value, changes); err != nil {
			err = fmt.Errorf("decode changes: %w", err)
			return false
		}
		page.at = eventlog.Position{Log: a.log, Sequence: n.At}
		for _, c := range changes.GetChanges() {
			page.at = positionOf(a.log, c.GetOrigin())
			if keep(c) {
				page.changes = append(page.changes, c)
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	if at := a.view.Position(); err == nil && !page.more && at.Sequence > page.at.Sequence {
		page.at = at
	}
	return page, err
}
