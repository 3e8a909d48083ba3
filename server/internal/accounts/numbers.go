package accounts

import (
	"bytes"
	"context"
	"maps"
	"slices"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// keyRange is the keys from one, inclusive, to another, exclusive.
type keyRange struct{ from, to []byte }

// under is the keys that begin with a prefix.
func under(prefix []byte) keyRange { return keyRange{prefix, behind(prefix)} }

// ranges are the keys of a kind whose first text is an account that the caller may see
// and, if some are named, one of these. They are in the order of the keys.
func (c *scope) ranges(kind byte, named []string) []keyRange {
	if len(named) == 0 && c.grant.AllWABAs {
		return []keyRange{{[]byte{kind}, []byte{kind + 1}}}
	}
	if len(named) == 0 {
		named = slices.Collect(maps.Keys(c.wabas))
		if c.grant.Unattributed {
			named = append(named, "")
		}
	}
	prefixes := make([][]byte, len(named))
	for i, waba := range named {
		prefixes[i] = key(kind, waba)
	}
	slices.SortFunc(prefixes, bytes.Compare)
	out := make([]keyRange, 0, len(named))
	for _, prefix := range slices.CompactFunc(prefixes, bytes.Equal) {
		out = append(out, under(prefix))
	}
	return out
}

// scanAfter yields the keys of ranges that are behind one, until yield returns false.
func (a *answer) scanAfter(ranges []keyRange, after []byte, yield func(key, value []byte) bool) error {
	for _, r := range ranges {
		if after != nil {
			if bytes.Compare(after, r.to) >= 0 {
				continue
			}
			if bytes.Compare(after, r.from) >= 0 {
				r.from = append(slices.Clip(after), 0)
			}
		}
		goOn := true
		err := a.view.Scan(r.from, r.to, false, func(key, value []byte) bool {
			goOn = yield(key, value)
			return goOn
		})
		if err != nil || !goOn {
			return err
		}
	}
	return nil
}

// ListPhoneNumbers implements AccountService.
func (s *Service) ListPhoneNumbers(ctx context.Context, req *wabastreamv1.ListPhoneNumbersRequest) (*wabastreamv1.ListPhoneNumbersResponse, error) {
	size, err := pageSizeOf(req.GetPageSize(), defaultPageSize, maxPageSize)
	if err != nil {
		return nil, err
	}
	selection := &wabastreamv1.ListPhoneNumbersRequest{WabaId: req.GetWabaId(), BusinessPhone: eventlog.NormalizePhone(req.GetBusinessPhone())}
	if len(selection.GetBusinessPhone()) > eventlog.MaxTextBytes || req.GetBusinessPhone() != "" && selection.GetBusinessPhone() == "" {
		return nil, apierror.Invalid(reasonRequestInvalid, fieldPhone, notANumber)
	}
	after, err := parsePageToken(selection, numberKind, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	a, err := s.answerTo(ctx, req.GetAtLeastCursor())
	if err != nil {
		return nil, err
	}
	defer a.close()
	var named []string
	if waba := req.GetWabaId(); waba != "" {
		if err := a.named("waba_id", waba); err != nil {
			return nil, err
		}
		named = []string{waba}
	}
	page := numberPage{answer: a, size: size}
	if phone := selection.GetBusinessPhone(); phone != "" {
		err = page.pick(named, phone, after)
	} else {
		err = page.scan(a.ranges(numberKind, named), after)
	}
	if err != nil {
		return nil, s.failed(err)
	}
	response := &wabastreamv1.ListPhoneNumbersResponse{PhoneNumbers: page.numbers, Cursor: a.cursor()}
	if page.more {
		response.NextPageToken = pageToken(selection, page.last)
	}
	return response, nil
}

// numberPage collects a page of numbers, in the order of accounts and digits.
type numberPage struct {
	*answer
	size int

	owner  *wabastreamv1.Account // of the number before
	waba   string                // whose it is, if of anybody
	looked bool

	numbers []*wabastreamv1.PhoneNumber
	scanned int
	last    []byte // the key at which the page ends
	more    bool
}

func (p *numberPage) full() bool {
	p.more = len(p.numbers) == p.size || p.scanned == maxScanned
	return p.more
}

func (p *numberPage) scan(ranges []keyRange, after []byte) (err error) {
	scanned := p.scanAfter(ranges, after, func(key, value []byte) bool {
		if p.full() {
			return false
		}
		p.last = append(p.last[:0], key...)
		p.scanned++
		n := new(wabastreamv1.PhoneNumber)
		if err = decodeRow(value, n); err == nil {
			err = p.add(n)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return scanned
}

// add takes a number if the caller may see something of it, with what stands in the
// way of its account.
func (p *numberPage) add(n *wabastreamv1.PhoneNumber) (err error) {
	waba := n.GetWabaId()
	if !p.account(waba) || !p.showNumber(n) {
		return nil
	}
	if !p.looked || p.waba != waba {
		if p.owner, err = p.readAccount(waba); err != nil {
			return err
		}
		p.looked, p.waba = true, waba
	}
	judgeNumber(n, p.owner)
	p.numbers = append(p.numbers, n)
	return nil
}

// pick goes through the accounts that have, or had, one number.
func (p *numberPage) pick(named []string, phone string, after []byte) error {
	var keys [][]byte
	r := under(key(inAccountKind, phone))
	if err := p.view.Scan(r.from, r.to, false, func(key, _ []byte) bool {
		_, rest := cutText(key[1:])
		waba, _ := cutText(rest)
		if len(named) == 0 || slices.Contains(named, waba) {
			keys = append(keys, numberKey(waba, phone))
		}
		return len(keys) < maxScanned
	}); err != nil {
		return err
	}
	for _, key := range keys {
		if bytes.Compare(key, after) <= 0 {
			continue
		}
		if p.full() {
			return nil
		}
		p.last = key
		p.scanned++
		n := new(wabastreamv1.PhoneNumber)
		found, err := p.row(key, n)
		if err == nil && found {
			err = p.add(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
