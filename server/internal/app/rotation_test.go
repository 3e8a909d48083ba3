package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
)

// ownWABA is the account that every stream of the test may see from the start.
const ownWABA = "1001"

// follower is a stream and what arrives on it.
type follower struct {
	arrived chan string // ids of events, as they come; closed when the stream ends
	// closing is the reason that was told before err ended it; read them after arrived
	// is closed.
	closing string
	err     error
}

// follow opens a stream, which begins where the log ends when follow returns. Nothing
// but events wakes it.
func follow(ctx context.Context, t *testing.T, conn *grpc.ClientConn) *follower {
	t.Helper()
	sub, err := wabastreamv1.NewEventServiceClient(conn).Subscribe(ctx, &wabastreamv1.SubscribeRequest{
		Start:             &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_LATEST},
		HeartbeatInterval: durationpb.New(5 * time.Minute),
	}, grpc.WaitForReady(true))
	require.NoError(t, err)
	first, err := sub.Recv()
	require.NoError(t, err)
	require.NotNil(t, first.GetReady())
	f := &follower{arrived: make(chan string, 100)}
	go f.receive(sub)
	return f
}

func (f *follower) receive(sub grpc.ServerStreamingClient[wabastreamv1.SubscribeResponse]) {
	defer close(f.arrived)
	for {
		frame, err := sub.Recv()
		if err != nil {
			f.err = err
			return
		}
		if closing := frame.GetClosing(); closing != nil {
			f.closing = closing.GetReason()
		}
		for _, e := range frame.GetBatch().GetEvents() {
			f.arrived <- e.GetId()
		}
	}
}

// rotation is a server whose callers all come over TLS, and its streams by what their
// callers show.
type rotation struct {
	*running
	authority                         *authority
	plain, certified                  *grpc.ClientConn // without and with a certificate of the client
	roster                            roster
	consumers                         []*consumer // that the file has
	operator                          *consumer
	tokens                            *consumer // whose streams show a token, the former or the latter
	former, latter                    string
	certificates                      *consumer // whose streams show a certificate
	byFormer, byLatter, byCertificate []*follower
	posted                            int
}

func newRotation(ctx context.Context, t *testing.T) *rotation {
	t.Helper()
	const grant = "types: ['*']\nwaba_ids: ['" + ownWABA + "']"
	r := &rotation{
		authority: newAuthority(t), operator: newConsumer("operator", all),
		tokens: newConsumer("tokens", grant), certificates: newConsumer("certificates", grant+"\ncertificates: [CN=test]"),
	}
	latter, hash := access.NewToken()
	r.former, r.latter = r.tokens.token, latter
	r.tokens.otherHashes = []string{hash}
	r.consumers = []*consumer{r.operator, r.tokens, r.certificates}
	r.roster = newRoster(t, r.consumers...)
	config := testConfig(t)
	config.TLSCertFile, config.TLSKeyFile = r.authority.pair("insiders")
	config.TLSClientCAFile = filepath.Join(r.authority.dir, "ca.pem")
	config.AccessFile = r.roster.path
	r.running = startApp(t, config)
	r.plain, r.certified = r.dial(t, false), r.dial(t, true)
	for range 2 { // connections of each kind
		byToken, byCertificate := r.dial(t, false), r.dial(t, true)
		for range 15 {
			r.byFormer = append(r.byFormer, follow(carrying(ctx, r.former), t, byToken))
			r.byLatter = append(r.byLatter, follow(carrying(ctx, r.latter), t, byToken))
		}
		for range 20 {
			r.byCertificate = append(r.byCertificate, follow(ctx, t, byCertificate))
		}
	}
	return r
}

func (r *rotation) dial(t *testing.T, certified bool) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(r.Addrs().GRPC, grpc.WithTransportCredentials(credentials.NewTLS(r.authority.client(certified))))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// post has an event of an account stored, and returns its id.
func (r *rotation) post(ctx context.Context, t *testing.T, waba string) string {
	t.Helper()
	r.posted++
	got := request(t, http.MethodPost, "http://"+r.Addrs().HTTP+"/webhooks/nxcloud",
		fmt.Sprintf(`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":%d,"wabaId":%q}}`, 1757450905+r.posted, waba),
		http.Header{"Content-Type": {"application/json"}})
	require.Equal(t, http.StatusOK, got.code)
	page, err := wabastreamv1.NewEventServiceClient(r.plain).ListEvents(carrying(ctx, r.operator.token), &wabastreamv1.ListEventsRequest{})
	require.NoError(t, err)
	require.Len(t, page.GetEvents(), r.posted)
	require.Equal(t, waba, page.GetEvents()[0].GetWabaId())
	return page.GetEvents()[0].GetId()
}

// requireNext: an event is the next thing that arrives on each of the streams.
func requireNext(t *testing.T, id string, streams ...*follower) {
	t.Helper()
	for _, f := range streams {
		got, open := <-f.arrived
		require.True(t, open, "a stream ended: %v", f.err)
		require.Equal(t, id, got)
	}
}

// requireUntouched: all that are left go on, and none sees the foreign account.
func (r *rotation) requireUntouched(ctx context.Context, t *testing.T) {
	t.Helper()
	r.post(ctx, t, foreignWABA)
	requireNext(t, r.post(ctx, t, ownWABA), slices.Concat(r.byFormer, r.byLatter, r.byCertificate)...)
}

// ask asks for what is of an account; without a token it shows the certificate.
func (r *rotation) ask(ctx context.Context, token, waba string) error {
	conn := r.plain
	if token == "" {
		conn = r.certified
	}
	_, err := wabastreamv1.NewEventServiceClient(conn).ListEvents(carrying(ctx, token), &wabastreamv1.ListEventsRequest{
		Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{waba}}},
	})
	return err
}

// serial is of the certificate that a new connection sees.
func (r *rotation) serial(ctx context.Context, addr string) (string, error) {
	config := r.authority.client(false)
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

// eventually waits for a change of a file to show.
func eventually(t *testing.T, shows func() bool) {
	t.Helper()
	require.Eventually(t, shows, 20*time.Second, 20*time.Millisecond)
}

// TestRotationWhileStreamsRun: certificates, tokens, consumers and grants change under
// 100 streams. Those whose credential is taken away end, and no others; all receive
// each event that they may see once.
func TestRotationWhileStreamsRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // ends whoever waits for what does not come
	defer cancel()
	r := newRotation(ctx, t)
	require.Len(t, slices.Concat(r.byFormer, r.byLatter, r.byCertificate), 100)
	r.requireUntouched(ctx, t)
	r.replaceCertificate(ctx, t)
	r.requireUntouched(ctx, t)
	r.addCallers(ctx, t)
	r.requireUntouched(ctx, t)
	r.widenGrant(ctx, t)
	r.removeToken(ctx, t)

	cancel()
	for _, f := range slices.Concat(r.byLatter, r.byCertificate) {
		_, open := <-f.arrived
		require.False(t, open, "an event came twice")
		require.Empty(t, f.closing)
		require.Equal(t, codes.Canceled.String(), status.Code(f.err).String())
	}
}

// replaceCertificate: who connects then sees the new one.
func (r *rotation) replaceCertificate(ctx context.Context, t *testing.T) {
	t.Helper()
	addrs := []string{r.Addrs().GRPC, r.Addrs().API}
	former, err := r.serial(ctx, addrs[0])
	require.NoError(t, err)
	r.authority.pair("insiders")
	for _, addr := range addrs {
		eventually(t, func() bool {
			serial, err := r.serial(ctx, addr)
			return err == nil && serial != former
		})
	}
}

// addCallers: a token of a known consumer, and a consumer.
func (r *rotation) addCallers(ctx context.Context, t *testing.T) {
	t.Helper()
	token, hash := access.NewToken()
	added := newConsumer("added", r.tokens.grant)
	for _, unknown := range []string{token, added.token} {
		requireReason(t, r.ask(ctx, unknown, ownWABA), codes.Unauthenticated, "CREDENTIALS_INVALID")
	}
	r.tokens.otherHashes = append(r.tokens.otherHashes, hash)
	r.consumers = append(r.consumers, added)
	r.roster.write(t, r.consumers...)
	for _, known := range []string{token, added.token} {
		eventually(t, func() bool { return r.ask(ctx, known, ownWABA) == nil })
	}
}

// widenGrant: only the streams of that consumer see the account that is added.
func (r *rotation) widenGrant(ctx context.Context, t *testing.T) {
	t.Helper()
	requireReason(t, r.ask(ctx, "", foreignWABA), codes.PermissionDenied, "WABA_NOT_ALLOWED")
	r.certificates.grant = "types: ['*']\ncertificates: [CN=test]\nwaba_ids: ['" + ownWABA + "', '" + foreignWABA + "']"
	r.roster.write(t, r.consumers...)
	eventually(t, func() bool { return r.ask(ctx, "", foreignWABA) == nil })
	requireReason(t, r.ask(ctx, r.former, foreignWABA), codes.PermissionDenied, "WABA_NOT_ALLOWED")
	// A stream is told of its grant a moment after new calls are judged by it. Its
	// client gets the event in any case, as nothing that came after it was sent yet.
	requireNext(t, r.post(ctx, t, foreignWABA), r.byCertificate...)
	requireNext(t, r.post(ctx, t, ownWABA), slices.Concat(r.byFormer, r.byLatter, r.byCertificate)...)
}

// removeToken: the streams that were opened with it end, and those of the same consumer
// that were opened with another go on.
func (r *rotation) removeToken(ctx context.Context, t *testing.T) {
	t.Helper()
	r.tokens.hash, r.tokens.otherHashes = r.tokens.otherHashes[0], r.tokens.otherHashes[1:]
	begin := time.Now()
	r.roster.write(t, r.consumers...)
	for _, f := range r.byFormer {
		_, open := <-f.arrived
		require.False(t, open, "an event came twice")
		require.Equal(t, "CREDENTIALS_INVALID", f.closing)
		requireReason(t, f.err, codes.Unauthenticated, "CREDENTIALS_INVALID")
	}
	took := time.Since(begin)
	t.Log("the streams of the removed token ended after", took)
	require.Less(t, took, 5*time.Second)
	requireReason(t, r.ask(ctx, r.former, ownWABA), codes.Unauthenticated, "CREDENTIALS_INVALID")
	requireNext(t, r.post(ctx, t, foreignWABA), r.byCertificate...)
	requireNext(t, r.post(ctx, t, ownWABA), slices.Concat(r.byLatter, r.byCertificate)...)
}
