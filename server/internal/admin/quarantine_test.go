package admin_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/admin"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/quarantine"
)

// isolation is a service on a quarantine.
type isolation struct {
	*admin.Service
	store *quarantine.Store
	// reinject is what became of the callback; took is what was put in again.
	reinject func() (admin.Reinjected, error)
	took     []string
}

func newIsolation(t *testing.T) *isolation {
	t.Helper()
	store, err := quarantine.Open(quarantine.Config{Dir: filepath.Join(t.TempDir(), "q"), MaxEntries: 2000, MaxBytes: 1 << 30})
	require.NoError(t, err)
	i := &isolation{store: store, reinject: func() (admin.Reinjected, error) { return admin.Reinjected{}, nil }}
	i.Service = admin.New(admin.Config{
		Quarantine: store,
		Reinject: func(_ context.Context, source string, body []byte) (admin.Reinjected, error) {
			i.took = append(i.took, source+": "+string(body))
			return i.reinject()
		},
	})
	return i
}

func (i *isolation) put(t *testing.T, second int, body string) {
	t.Helper()
	require.NoError(t, i.store.Put("nxcloud", time.Unix(int64(second), 5), "at byte 1", []byte(body)))
}

// granted is the context of a call by whoever has that grant.
func granted(t *testing.T, grant access.Grant) context.Context {
	t.Helper()
	return access.NewContext(t.Context(), access.NewSession(access.Caller{Grant: grant}))
}

// A callback that could not be read may name anybody: it takes a grant of everything.
func TestBodiesTakeAGrantOfEverything(t *testing.T) {
	t.Parallel()
	i := newIsolation(t)
	i.put(t, 1, "{broken")
	for name, narrow := range map[string]func(*access.Grant){
		"some accounts":        func(g *access.Grant) { g.AllWABAs, g.WABAIDs = false, []string{"1001"} },
		"attributed only":      func(g *access.Grant) { g.Unattributed = false },
		"some types":           func(g *access.Grant) { g.AllTypes, g.Types = false, []string{"account_update"} },
		"no raw JSON":          func(g *access.Grant) { g.RawJSON = false },
		"pseudonyms of people": func(g *access.Grant) { g.PersonalData = access.PersonalDataHashed },
	} {
		grant := access.Everything()
		narrow(&grant)
		ctx := granted(t, grant)
		_, err := i.ListQuarantined(ctx, &wabastreamv1.ListQuarantinedRequest{IncludeBody: true})
		requireReason(t, err, codes.PermissionDenied, "RAW_JSON_NOT_ALLOWED")
		page, err := i.ListQuarantined(ctx, &wabastreamv1.ListQuarantinedRequest{})
		require.NoError(t, err, name)
		require.Len(t, page.GetCallbacks(), 1, name)
		require.Empty(t, page.GetCallbacks()[0].GetBody(), name)
	}
	_, err := i.ListQuarantined(t.Context(), &wabastreamv1.ListQuarantinedRequest{IncludeBody: true})
	requireReason(t, err, codes.PermissionDenied, "RAW_JSON_NOT_ALLOWED")
}

// list reads every page.
func (i *isolation) list(t *testing.T, req *wabastreamv1.ListQuarantinedRequest) (all []*wabastreamv1.QuarantinedCallback, pages int) {
	t.Helper()
	for {
		page, err := i.ListQuarantined(granted(t, access.Everything()), req)
		require.NoError(t, err)
		all, pages = append(all, page.GetCallbacks()...), pages+1
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			return all, pages
		}
	}
}

func TestListQuarantined(t *testing.T) {
	t.Parallel()
	i := newIsolation(t)
	all, pages := i.list(t, &wabastreamv1.ListQuarantinedRequest{})
	require.Empty(t, all)
	require.Equal(t, 1, pages)
	for second := range 5 {
		i.put(t, second, fmt.Sprint("body ", second))
	}
	all, pages = i.list(t, &wabastreamv1.ListQuarantinedRequest{PageSize: 2})
	require.Len(t, all, 5)
	require.Equal(t, 3, pages)
	for n, c := range all {
		require.Equal(t, time.Unix(int64(4-n), 5).UTC(), c.GetReceiveTime().AsTime())
		require.Equal(t, []any{"nxcloud", "at byte 1", uint64(6)}, []any{c.GetSource(), c.GetReason(), c.GetSizeBytes()})
		require.Empty(t, c.GetBody(), "nobody asked for it")
	}
	all, _ = i.list(t, &wabastreamv1.ListQuarantinedRequest{IncludeBody: true})
	require.Equal(t, "body 4", string(all[0].GetBody()))
}

// With bodies a page stays well below what clients take in a message.
func TestPagesOfBodiesAreBounded(t *testing.T) {
	t.Parallel()
	i := newIsolation(t)
	for second := range 5 {
		i.put(t, second, strings.Repeat(strconv.Itoa(second), 600<<10))
	}
	i.put(t, 9, strings.Repeat("9", 1_900_000))
	all, pages := i.list(t, &wabastreamv1.ListQuarantinedRequest{IncludeBody: true})
	require.Len(t, all, 6)
	require.Equal(t, 6, pages)
	_, pages = i.list(t, &wabastreamv1.ListQuarantinedRequest{})
	require.Equal(t, 1, pages)
}

func TestListQuarantinedRefuses(t *testing.T) {
	t.Parallel()
	i := newIsolation(t)
	for _, req := range []*wabastreamv1.ListQuarantinedRequest{
		{PageSize: -1}, {PageSize: 1001}, {PageToken: "x"}, {PageToken: "!"}, {PageToken: strings.Repeat("A", 60)},
	} {
		_, err := i.ListQuarantined(t.Context(), req)
		requireReason(t, err, codes.InvalidArgument, "REQUEST_INVALID")
	}
}

func TestReinjectQuarantined(t *testing.T) {
	t.Parallel()
	i := newIsolation(t)
	i.put(t, 1, "{}")
	all, _ := i.list(t, &wabastreamv1.ListQuarantinedRequest{})
	req := &wabastreamv1.ReinjectQuarantinedRequest{QuarantineId: all[0].GetQuarantineId()}
	i.reinject = func() (admin.Reinjected, error) {
		return admin.Reinjected{IDs: []eventlog.ID{{1}, {2}}, Stored: 1, Duplicate: 1, Discarded: 3}, nil
	}
	answer, err := i.ReinjectQuarantined(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, []string{"nxcloud: {}"}, i.took)
	require.Equal(t, []string{eventlog.ID{1}.String(), eventlog.ID{2}.String()}, answer.GetEventIds())
	require.Equal(t, []uint32{1, 1, 3}, []uint32{answer.GetStoredCount(), answer.GetDuplicateCount(), answer.GetDiscardedCount()})
	all, _ = i.list(t, &wabastreamv1.ListQuarantinedRequest{})
	require.Empty(t, all)
	for _, gone := range []string{req.GetQuarantineId(), "", "../../etc/passwd"} {
		_, err = i.ReinjectQuarantined(t.Context(), &wabastreamv1.ReinjectQuarantinedRequest{QuarantineId: gone})
		requireReason(t, err, codes.NotFound, "QUARANTINED_NOT_FOUND")
	}
	require.Len(t, i.took, 1)
}

func TestReinjectErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		code   codes.Code
		reason string
	}{
		"unreadable": {fmt.Errorf("%w: at byte 1", quarantine.ErrUnreadable), codes.InvalidArgument, "CALLBACK_UNREADABLE"},
		"no source":  {quarantine.ErrNoSource, codes.FailedPrecondition, "SOURCE_NOT_CONFIGURED"},
		"full":       {fmt.Errorf("x: %w", eventlog.ErrFull), codes.ResourceExhausted, "DISK_FULL"},
		"closed":     {eventlog.ErrClosed, codes.Unavailable, "LOG_UNAVAILABLE"},
		"cancelled":  {context.Canceled, codes.Canceled, ""},
		"other":      {errors.New("secret path"), codes.Internal, "INTERNAL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIsolation(t)
			i.put(t, 1, "{")
			all, _ := i.list(t, &wabastreamv1.ListQuarantinedRequest{})
			i.reinject = func() (admin.Reinjected, error) { return admin.Reinjected{}, c.err }
			_, err := i.ReinjectQuarantined(t.Context(), &wabastreamv1.ReinjectQuarantinedRequest{QuarantineId: all[0].GetQuarantineId()})
			requireReason(t, err, c.code, c.reason)
			require.NotContains(t, err.Error(), "secret")
			all, _ = i.list(t, &wabastreamv1.ListQuarantinedRequest{})
			require.Len(t, all, 1, "it stays")
		})
	}
}
