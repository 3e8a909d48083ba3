package accounts

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/apierror"
)

// Bounds of a page, as the contract states them.
const (
	defaultPageSize = 100
	maxPageSize     = 1000
	maxNamed        = 1000
)

// ListAccounts implements AccountService.
func (s *Service) ListAccounts(ctx context.Context, req *wabastreamv1.ListAccountsRequest) (*wabastreamv1.ListAccountsResponse, error) {
	size, err := pageSizeOf(req.GetPageSize(), defaultPageSize, maxPageSize)
	if err != nil {
		return nil, err
	}
	selection := &wabastreamv1.ListAccountsRequest{WabaIds: req.GetWabaIds(), OnlySendingBlocked: req.GetOnlySendingBlocked()}
	after, err := parsePageToken(selection, changedKind, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := checkNamed(req.GetWabaIds()); err != nil {
		return nil, err
	}
	a, err := s.answerTo(ctx, req.GetAtLeastCursor())
	if err != nil {
		return nil, err
	}
	defer a.close()
	if err := a.named("waba_ids", req.GetWabaIds()...); err != nil {
		return nil, err
	}
	page := accountPage{answer: a, size: size, onlyBlocked: req.GetOnlySendingBlocked()}
	if named := a.few(req.GetWabaIds()); named != nil {
		err = page.pick(named, after)
	} else {
		err = page.scan(after)
	}
	if err != nil {
		return nil, s.failed(err)
	}
	response := &wabastreamv1.ListAccountsResponse{Accounts: page.accounts, Cursor: a.cursor()}
	if page.more {
		response.NextPageToken = pageToken(selection, page.last)
	}
	return response, nil
}

func checkNamed(wabas []string) error {
	if len(wabas) > maxNamed {
		return apierror.Invalid(reasonRequestInvalid, "waba_ids", fmt.Sprintf("%d accounts; at most %d", len(wabas), maxNamed))
	}
	return nil
}

// few is the accounts that are to be looked at one by one: those that a request names,
// or the caller's if those are not many; nil is that it is better to look at all.
func (c *scope) few(named []string) []string {
	switch {
	case len(named) > 0:
		return slices.Compact(slices.Sorted(slices.Values(named)))
	case !c.grant.AllWABAs && len(c.wabas) <= maxNamed:
		return slices.AppendSeq([]string{}, maps.Keys(c.wabas))
	}
	return nil
}

// accountPage collects a page of accounts, those that changed last first.
type accountPage struct {
	*answer
	size        int
	onlyBlocked bool

	accounts []*wabastreamv1.Account
	scanned  int
	last     []byte // the key at which the page ends
	more     bool
}

// full reports whether the next account is another page's.
func (p *accountPage) full() bool {
	p.more = len(p.accounts) == p.size || p.scanned == maxScanned
	return p.more
}

// scan goes through all accounts, from those that changed before a key.
func (p *accountPage) scan(before []byte) (err error) {
	if before == nil {
		before = []byte{changedKind + 1}
	}
	scanned := p.view.Scan([]byte{changedKind}, before, true, func(key, _ []byte) bool {
		if p.full() {
			return false
		}
		waba, _ := cutText(key[1+sequenceBytes:])
		p.last = append(p.last[:0], key...)
		p.scanned++
		if p.account(waba) {
			err = p.add(waba)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return scanned
}

// add reads an account and takes it if it is one of those that are asked for.
func (p *accountPage) add(waba string) error {
	account, err := p.readAccount(waba)
	if err == nil && account != nil && (account.GetSendingBlocked() || !p.onlyBlocked) {
		p.accounts = append(p.accounts, account)
	}
	return err
}

// pick goes through some accounts, in the same order.
func (p *accountPage) pick(wabas []string, before []byte) error {
	keys := make([][]byte, 0, len(wabas))
	for _, waba := range wabas {
		account := new(wabastreamv1.Account)
		found, err := p.row(accountKey(waba), account)
		if err != nil {
			return err
		}
		if key := changedKey(account.GetLastChange().GetSequence(), waba); found && (before == nil || bytes.Compare(key, before) < 0) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(x, y []byte) int { return bytes.Compare(y, x) })
	for _, key := range keys {
		if p.full() {
			return nil
		}
		waba, _ := cutText(key[1+sequenceBytes:])
		p.last = key
		p.scanned++
		if err := p.add(waba); err != nil {
			return err
		}
	}
	return nil
}
