package stream

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// FuzzFilter: what is refused and what an accepted filter selects is what the
// contract says, written down a second time here; a refusal names the field; and
// whoever waits for events is found by all that its filter selects.
func FuzzFilter(f *testing.F) {
	f.Add("w 1618074075500491", "t account_update.disabled_update", "1618074075500491", "15557902885", "account_update.disabled_update.disable", uint8(3))
	f.Add("u\nw 1\ns 2", "p +1 (555) 790-2885\nt a", "", "15557902885", "a.b", uint8(1))
	f.Add("w 1\nw 2\nw 3\nw 4\nw 5\nw 6\nw 7\nw 8\nw 9\nu", "s 3", "9", "", "a", uint8(2))
	f.Add("t a..b", "w ", "", "", "", uint8(0))
	f.Add("s 4", "s -1", "", "", "", uint8(0))
	f.Add("p +-() ", "t "+strings.Repeat("a", 257), "", "", "", uint8(0))
	f.Fuzz(func(t *testing.T, first, second, waba, phone, eventType string, severity uint8) {
		header := &eventlog.Header{
			WABAID: waba, BusinessPhone: eventlog.NormalizePhone(phone), Type: eventType,
			Severity: eventlog.Severity(severity%3) + eventlog.SeverityInfo,
		}
		var accepted []eventlog.Filter
		var selected bool
		for i, text := range []string{first, second} {
			asked := describedFilter(text)
			got, err := filterOf(fmt.Sprintf("filters[%d]", i), asked)
			if !isValidFilter(asked) {
				requireFieldNamed(t, err, fmt.Sprintf("filters[%d]", i))
				continue
			}
			require.NoError(t, err)
			alone := eventlog.NewMatcher([]eventlog.Filter{got})
			want := asksFor(asked, header)
			require.Equal(t, want, alone.Match(header), "%v of %v", asked, header)
			example := exampleOf(asked)
			require.True(t, alone.Match(example), "%v of %v", asked, example)
			requireFound(t, alone, example)
			accepted, selected = append(accepted, got), selected || want
		}
		if len(accepted) == 0 {
			return
		}
		either := eventlog.NewMatcher(accepted)
		require.Equal(t, selected, either.Match(header))
		if selected {
			require.True(t, either.MaySelect(header.Type))
			requireFound(t, either, header)
		}
	})
}

// describedFilter reads a filter from lines, so that the fuzzer can write one: w, t
// and p stand before a WABA, a type and a phone, s before a severity's number, u
// alone is include_unattributed.
func describedFilter(text string) *wabastreamv1.EventFilter {
	out := new(wabastreamv1.EventFilter)
	for line := range strings.SplitSeq(strings.ToValidUTF8(text, "?"), "\n") {
		kind, value, _ := strings.Cut(line, " ")
		switch kind {
		case "w":
			out.WabaIds = append(out.WabaIds, value)
		case "t":
			out.Types = append(out.Types, value)
		case "p":
			out.BusinessPhones = append(out.BusinessPhones, value)
		case "s":
			n, _ := strconv.ParseInt(value, 10, 32)
			out.MinSeverity = wabastreamv1.Severity(n)
		case "u":
			out.IncludeUnattributed = true
		}
	}
	return out
}

func isValidFilter(f *wabastreamv1.EventFilter) bool {
	path := regexp.MustCompile(`\A[a-z0-9_]+(\.[a-z0-9_]+)*\z`)
	fits := func(s string) bool { return len(s) > 0 && len(s) <= 256 }
	all := func(values []string, limit int, ok func(string) bool) bool {
		return len(values) <= limit && !slices.ContainsFunc(values, func(v string) bool { return !ok(v) })
	}
	asksNothing := len(f.GetWabaIds())+len(f.GetTypes())+len(f.GetBusinessPhones()) == 0 && !f.GetIncludeUnattributed() && f.GetMinSeverity() == 0
	return !asksNothing &&
		f.GetMinSeverity() >= 0 && f.GetMinSeverity() <= wabastreamv1.Severity_SEVERITY_CRITICAL &&
		all(f.GetWabaIds(), 1000, fits) &&
		all(f.GetTypes(), 100, func(s string) bool { return fits(s) && path.MatchString(s) }) &&
		all(f.GetBusinessPhones(), 1000, func(s string) bool { return fits(eventlog.NormalizePhone(s)) })
}

func asksFor(f *wabastreamv1.EventFilter, h *eventlog.Header) bool {
	byWABA := len(f.GetWabaIds()) == 0 && !f.GetIncludeUnattributed() ||
		h.WABAID == "" && f.GetIncludeUnattributed() || h.WABAID != "" && slices.Contains(f.GetWabaIds(), h.WABAID)
	byPhone := len(f.GetBusinessPhones()) == 0 ||
		slices.ContainsFunc(f.GetBusinessPhones(), func(p string) bool { return eventlog.NormalizePhone(p) == h.BusinessPhone })
	byType := len(f.GetTypes()) == 0 ||
		slices.ContainsFunc(f.GetTypes(), func(p string) bool { return strings.HasPrefix(h.Type+".", p+".") })
	return byWABA && byPhone && byType && int32(h.Severity) >= int32(f.GetMinSeverity())
}

// exampleOf makes a header that a valid filter selects.
func exampleOf(f *wabastreamv1.EventFilter) *eventlog.Header {
	h := &eventlog.Header{Severity: eventlog.SeverityCritical, Type: "x"}
	if n := len(f.GetWabaIds()); n > 0 {
		h.WABAID = f.GetWabaIds()[n-1]
	}
	if n := len(f.GetBusinessPhones()); n > 0 {
		h.BusinessPhone = eventlog.NormalizePhone(f.GetBusinessPhones()[n-1])
	}
	if n := len(f.GetTypes()); n > 0 {
		h.Type = f.GetTypes()[n-1] + ".below"
	}
	return h
}

// requireFound: the event wakes a subscriber that waits with the filter, until it
// waits no more.
func requireFound(t *testing.T, m *eventlog.Matcher, h *eventlog.Header) {
	t.Helper()
	subscriber := &waiter{matcher: m}
	index := newInterest()
	index.add(subscriber)
	found := func() (found bool) {
		index.concern(h, func(w *waiter) { found = found || w == subscriber })
		return found
	}
	require.True(t, found(), "%v is not woken for %v", m.Filters(), h)
	index.remove(subscriber)
	require.False(t, found(), "%v was removed", m.Filters())
}

func requireFieldNamed(t *testing.T, err error, prefix string) {
	t.Helper()
	st := status.Convert(err)
	require.Equal(t, codes.InvalidArgument, st.Code(), "%v", err)
	require.True(t, utf8.ValidString(st.Message()) && len(st.Message()) < 500, "%q", st.Message())
	require.Len(t, st.Details(), 2)
	info, ok := st.Details()[0].(*errdetails.ErrorInfo)
	require.True(t, ok)
	require.Equal(t, reasonFilterInvalid, info.GetReason())
	require.Equal(t, apierror.Domain, info.GetDomain())
	require.True(t, strings.HasPrefix(info.GetMetadata()["field"], prefix), "%v", info)
}
