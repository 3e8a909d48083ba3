package accounts

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/stream"
	"github.com/wabastream/wabastream/server/internal/webhook"
)

// site is the service behind the real front and log: what is posted is attributed,
// stored, folded, and asked for.
type site struct {
	testing.TB
	log     eventlog.Log
	state   eventlog.State
	service *Service
	front   *webhook.Handler
	metrics *prometheus.Registry
	admit   func(context.Context, access.Caller) (func(), error)
}

func newSite(tb testing.TB) *site {
	tb.Helper()
	return newSiteOn(tb, vfs.NewMem())
}

func newSiteOn(tb testing.TB, fs vfs.FS) *site {
	tb.Helper()
	s := &site{TB: tb}
	var err error
	s.log, err = pebblelog.Open(tb.Context(), "log", pebblelog.Options{FS: fs, MemTableBytes: 1 << 20, CacheBytes: 1 << 20, RecentIDs: 1 << 12})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.log.Close()) })
	s.metrics = prometheus.NewRegistry()
	projection, err := CountedProjection(s.metrics)
	require.NoError(tb, err)
	s.state, err = s.log.Project(tb.Context(), projection)
	require.NoError(tb, err)
	attribution, err := NewAttribution(s.state, nil)
	require.NoError(tb, err)
	s.admit = func(context.Context, access.Caller) (func(), error) { return func() {}, nil }
	s.service, err = New(Config{
		Log: s.log, State: s.state, Cursors: Cursors{Format: stream.Cursor, Parse: stream.ParseCursor},
		Admit:     func(ctx context.Context, c access.Caller) (func(), error) { return s.admit(ctx, c) },
		Pseudonym: func(id string) string { return "pseudonym of " + id[:1] },
	})
	require.NoError(tb, err)
	sources := make([]webhook.Source, 0, 2)
	for _, name := range []string{"a", "b"} {
		sources = append(sources, webhook.Source{Name: name, AllowUnsigned: true, Numbers: map[string]string{"15559999": "configured"}})
	}
	s.front, err = webhook.New(webhook.Config{Sources: sources, Log: s.log, Attributor: attribution})
	require.NoError(tb, err)
	return s
}

// post posts a callback, and returns once the state has it.
func (s *site) post(body string) {
	s.Helper()
	s.postTo("a", body)
	s.settle()
}

func (s *site) postTo(source, body string) {
	s.Helper()
	request := httptest.NewRequestWithContext(s.Context(), http.MethodPost, "/webhooks/"+source, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	s.front.ServeHTTP(answer, request)
	require.Equal(s, http.StatusOK, answer.Code, body)
}

// settle returns once the state has all that the log has.
func (s *site) settle() eventlog.Position {
	s.Helper()
	bounds, err := s.log.Bounds(context.Background())
	require.NoError(s, err)
	require.NoError(s, s.service.follow(context.Background(), bounds.Head))
	return bounds.Head
}

// as is the context of a call by somebody with a grant.
func (s *site) as(grant access.Grant) context.Context {
	return access.NewContext(s.Context(), access.NewSession(access.Caller{Name: "caller", Grant: grant}))
}

func (s *site) everyone() context.Context { return s.as(access.Everything()) }

// ofAccounts is the grant of some accounts, with all types and persons.
func ofAccounts(ids ...string) access.Grant {
	return access.Grant{WABAIDs: ids, AllTypes: true, PersonalData: access.PersonalDataFull}
}

func requireReason(tb testing.TB, err error, code codes.Code, reason string) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, code.String(), status.Code(err).String(), "%v", err)
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			require.Equal(tb, reason, info.GetReason())
			return
		}
	}
	require.Fail(tb, "no reason", "%v", err)
}

// dump is every byte of the state, and of the notes of records that are held.
func (s *site) dump() string {
	s.Helper()
	s.settle()
	bounds, err := s.log.Bounds(context.Background())
	require.NoError(s, err)
	v, err := s.state.View()
	require.NoError(s, err)
	defer v.Close()
	var out strings.Builder
	require.NoError(s, v.Scan(nil, nil, false, func(key, value []byte) bool {
		fmt.Fprintf(&out, "%q %x\n", key, value)
		return true
	}))
	require.NoError(s, v.Notes(bounds.Start.Sequence, func(n eventlog.Note) bool {
		fmt.Fprintf(&out, "note %d %x\n", n.At, n.Value)
		return true
	}))
	return out.String()
}

// rebuild makes the state again, which must differ in nothing.
func (s *site) rebuild() {
	s.Helper()
	differences, err := s.state.Rebuild(context.Background(), func(uint64, uint64) {})
	require.NoError(s, err)
	require.Zero(s, differences)
}

// short is the end of an enum's name, in small letters.
func short(enum fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(enum.String(), prefix))
}

// accountText is an account in a few words.
func accountText(a *wabastreamv1.Account) string {
	words := []string{short(a.GetExistence().GetState(), "ACCOUNT_STATE_")}
	if ban := a.GetBan(); ban != nil {
		words = append(words, "ban "+short(ban.GetInfo().GetState(), "BAN_STATE_")+late(ban.GetOrigin()))
	}
	if a.GetViolation() != nil {
		words = append(words, "violation"+late(a.GetViolation().GetOrigin()))
	}
	for _, r := range a.GetRestrictions() {
		words = append(words, fmt.Sprintf("restriction %s active %t", short(r.GetInfo().GetRestrictionType(), "RESTRICTION_TYPE_"), r.GetActive()))
	}
	if review := a.GetReview(); review != nil {
		words = append(words, "review "+short(review.GetDecision(), "REVIEW_DECISION_")+late(review.GetOrigin()))
	}
	if a.GetPartner() != nil {
		words = append(words, "partner "+short(a.GetPartner().GetState(), "PARTNER_STATE_"))
	}
	if a.GetMmLiteTerms().GetSigned() {
		words = append(words, "terms signed")
	}
	return strings.Join(append(words, blocksText(a.GetSendingBlocks())...), ", ")
}

// numberText is a number in a few words.
func numberText(n *wabastreamv1.PhoneNumber) string {
	words := []string{short(n.GetPresence().GetState(), "PHONE_NUMBER_STATE_")}
	if n.GetVerifiedName() != nil {
		words = append(words, "name "+n.GetVerifiedName().GetName())
	}
	if n.GetNameReview() != nil {
		words = append(words, "review "+short(n.GetNameReview().GetDecision(), "REVIEW_DECISION_")+late(n.GetNameReview().GetOrigin()))
	}
	if n.GetQuality() != nil {
		words = append(words, fmt.Sprintf("flagged %t", n.GetQuality().GetFlagged()))
	}
	if n.GetLimit() != nil {
		words = append(words, n.GetLimit().GetLimitText()+late(n.GetLimit().GetOrigin()))
	}
	return strings.Join(append(words, blocksText(n.GetSendingBlocks())...), ", ")
}

func late(origin *wabastreamv1.Provenance) string {
	if origin.GetStaleCount() == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d late)", origin.GetStaleCount())
}

func blocksText(blocks []*wabastreamv1.SendingBlock) []string {
	var words []string
	for _, b := range blocks {
		words = append(words, "BLOCKED "+short(b.GetReason(), "SENDING_BLOCK_REASON_"))
	}
	return words
}

// stateText is everything that a caller may see, in a few words each.
func (s *site) stateText(grant access.Grant) map[string]string {
	s.Helper()
	out := make(map[string]string)
	for request := (&wabastreamv1.ListAccountsRequest{PageSize: 2}); ; {
		page, err := s.service.ListAccounts(s.as(grant), request)
		require.NoError(s, err)
		for _, a := range page.GetAccounts() {
			require.NotContains(s, out, a.GetWabaId())
			out[a.GetWabaId()] = accountText(a)
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	for request := (&wabastreamv1.ListPhoneNumbersRequest{PageSize: 2}); ; {
		page, err := s.service.ListPhoneNumbers(s.as(grant), request)
		require.NoError(s, err)
		for _, n := range page.GetPhoneNumbers() {
			out[n.GetWabaId()+"/"+n.GetBusinessPhone()] = numberText(n)
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	return out
}

// optOuts are the persons who want nothing from a number.
func (s *site) optOuts(phone string) []string {
	s.Helper()
	var persons []string
	for request := (&wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: phone, PageSize: 1}); ; {
		page, err := s.service.ListMarketingOptOuts(s.everyone(), request)
		require.NoError(s, err)
		for _, p := range page.GetOptOuts() {
			persons = append(persons, p.GetWaId())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return persons
		}
	}
}

// frames is a watch, whose frames a test receives.
type frames struct {
	grpc.ServerStream
	ctx  context.Context //nolint:containedctx // gRPC asks a stream for its context
	sent chan *wabastreamv1.WatchAccountsResponse
	end  chan error
}

func (f *frames) Context() context.Context { return f.ctx }

func (f *frames) Send(r *wabastreamv1.WatchAccountsResponse) error {
	select {
	case f.sent <- r:
		return nil
	case <-f.ctx.Done():
		return f.ctx.Err()
	}
}

// watch begins a watch; what it sends waits for the test to take it. stop ends it, and
// the test ends it too.
func (s *site) watch(ctx context.Context, request *wabastreamv1.WatchAccountsRequest) *frames {
	s.Helper()
	ctx, cancel := context.WithCancel(ctx)
	f := &frames{ctx: ctx, sent: make(chan *wabastreamv1.WatchAccountsResponse), end: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.end <- s.service.WatchAccounts(request, f)
		close(f.sent)
	}()
	s.Cleanup(func() {
		cancel()
		<-done
	})
	return f
}

// next receives a frame.
func (f *frames) next(tb testing.TB) *wabastreamv1.WatchAccountsResponse {
	tb.Helper()
	frame, ok := <-f.sent
	if !ok {
		require.Fail(tb, "the watch has ended", "%v", <-f.end)
	}
	return frame
}

// snapshot receives everything up to the end of the snapshot, and returns what there is.
func (f *frames) snapshot(tb testing.TB) (seen map[string]string, cursor string) {
	tb.Helper()
	seen = make(map[string]string)
	for {
		frame := f.next(tb)
		if frame.GetSnapshotEnd() != nil {
			require.NotEmpty(tb, frame.GetCursor())
			return seen, frame.GetCursor()
		}
		require.Empty(tb, frame.GetCursor())
		for _, a := range frame.GetSnapshot().GetAccounts() {
			seen[a.GetWabaId()] = accountText(a)
		}
		for _, n := range frame.GetSnapshot().GetPhoneNumbers() {
			seen[n.GetWabaId()+"/"+n.GetBusinessPhone()] = numberText(n)
		}
	}
}

// changesText is a frame's changes in a few words.
func changesText(changes []*wabastreamv1.AccountChange) []string {
	out := make([]string, len(changes))
	for i, c := range changes {
		words := []string{c.GetWabaId()}
		if c.GetBusinessPhone() != "" {
			words[0] += "/" + c.GetBusinessPhone()
		}
		words = append(words, short(c.GetDirection(), "CHANGE_DIRECTION_"))
		if c.GetStale() {
			words = append(words, "stale")
		}
		out[i] = strings.Join(words, " ")
	}
	return slices.Clip(out)
}
