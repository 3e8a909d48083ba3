package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/accounts"
	"github.com/wabastream/wabastream/server/internal/app"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A life of three accounts and six numbers, on two replicas by turns and on a server
// with a log of its own: after every step each of them tells the same of all accounts,
// numbers and persons. So do replicas that were stopped, killed, and begun with an
// empty folder, also when the events were purged meanwhile.
func TestAccountsAreTheSameOnEveryReplica(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	small := on("ACCOUNTS", 1, t.TempDir(), url)
	small.Window, small.IDHorizon = 8, time.Nanosecond
	trimmer := openAll(t, small)[0] // makes the stream
	_, err := trimmer.Project(t.Context(), accounts.Projection())
	require.NoError(t, err)
	onStream := func(c *app.Config) { onJetStream(c, "ACCOUNTS", 1, url) }
	alone := newServer(t, func(*app.Config) {})
	replicas := []*process{newServer(t, onStream), newServer(t, onStream)}
	same := func(step string) string {
		t.Helper()
		want := stateOf(t, replicas[0], headOf(t, replicas[1]))
		require.Equal(t, want, stateOf(t, replicas[1], headOf(t, replicas[0])), step)
		require.Equal(t, withoutPlaces(t, stateOf(t, alone, headOf(t, alone))), withoutPlaces(t, want), step)
		return want
	}
	states := make(map[string]bool)
	for i, body := range life() {
		postBody(t, alone, body)
		postBody(t, replicas[i%2], body)
		states[same(body)] = true
	}
	require.Greater(t, len(states), len(life())*2/3, "most steps change something")

	replicas[0].stop()
	replicas[0].start()
	same("stopped and started")
	replicas[1].kill()
	replicas[1].start()
	same("killed and started")
	replicas[0].stop()
	replicas[0].config.DataDir = t.TempDir()
	replicas[0].start()
	same("begun with an empty folder")

	replicas[1].stop()
	for n := range 150 {
		post(t, alone, n)
		post(t, replicas[0], n)
	}
	bounds, err := trimmer.Bounds(t.Context())
	require.NoError(t, err)
	require.NoError(t, trimmer.Trim(t.Context(), bounds.Head.Sequence-20))
	require.Greater(t, firstMessage(t, url, "ACCOUNTS"), uint64(100), "the stream was purged")
	replicas[1].start()
	same("was down while events were purged")
	replicas[0].stop()
	replicas[0].config.DataDir = t.TempDir()
	replicas[0].start()
	same("begun with an empty folder after events were purged")
	for n := range 20 {
		post(t, alone, 150+n)
		post(t, replicas[n%2], 150+n)
	}
	same("went on")
}

// life is callbacks, in the order that they come in; some are late, some come twice.
func life() []string {
	const at = 1_761_000_000
	update := func(waba, phone string, after int, event, more string) string {
		return fmt.Sprintf(`{"field":"account_update","value":{"event":%q,"wabaId":%q,"business_phone":%q,"time":%d%s}}`, event, waba, phone, at+after, more)
	}
	ban := func(after int, state string) string {
		return update("1", "15550001", after, "DISABLED_UPDATE", fmt.Sprintf(`,"ban_info":{"waba_ban_state":%q,"waba_ban_date":"October 22, 2025"}`, state))
	}
	tier := func(phone string, after int, event, limit string) string {
		return fmt.Sprintf(`{"field":"phone_number_quality_update","value":{"event":%q,"wabaId":"2","business_phone":%q,"display_phone_number":%[2]q,"current_limit":%q,"time":%d}}`, event, phone, limit, at+after)
	}
	name := func(after int, decision string) string {
		return fmt.Sprintf(`{"field":"phone_number_name_update","value":{"decision":%q,"wabaId":"2","display_phone_number":"15550004","requested_verified_name":"Shop","rejection_reason":"NONE","time":%d}}`, decision, at+after)
	}
	choice := func(person string, after int, value string) string {
		return fmt.Sprintf(`{"field":"user_preferences","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550005","phone_number_id":"id-5"},`+
			`"contacts":[{"wa_id":%q}],"user_preferences":[{"wa_id":%[1]q,"detail":"d","category":"marketing_messages","value":%q,"timestamp":%d}]}}`, person, value, at+after)
	}
	return []string{
		choice("early", 0, "stop"), // before the number's account is known
		update("1", "15550001", 0, "PHONE_NUMBER_ADDED", `,"phone_number":"+1 555-0001"`),
		update("1", "15550002", 0, "PHONE_NUMBER_ADDED", `,"phone_number":"+1 555-0002"`),
		update("2", "15550003", 0, "PHONE_NUMBER_ADDED", `,"phone_number":"+1 555-0003"`),
		update("2", "15550004", 0, "PHONE_NUMBER_ADDED", `,"phone_number":"+1 555-0004"`),
		update("3", "15550005", 0, "PHONE_NUMBER_ADDED", `,"phone_number":"+1 555-0005"`),
		update("3", "15550006", 0, "PHONE_NUMBER_ADDED", `,"phone_number":"+1 555-0006"`),
		ban(100, "DISABLE"),
		ban(100, "DISABLE"),  // twice
		ban(50, "REINSTATE"), // late
		ban(200, "REINSTATE"),
		tier("15550003", 10, "UPGRADE", "TIER_10K"),
		tier("15550003", 20, "DOWNGRADE", "TIER_1K"),
		tier("15550003", 15, "UPGRADE", "TIER_UNLIMITED"), // late
		name(10, "REJECTED"),
		name(20, "APPROVED"),
		tier("15550002", 300, "UPGRADE", "TIER_1K"), // a number moves
		choice("x", 0, "stop"),
		choice("y", 10, "stop"),
		choice("x", 20, "resume"),
		choice("x", 5, "stop"), // late
		update("3", "15550005", 600, "ACCOUNT_DELETED", ""),
	}
}

func postBody(t *testing.T, p *process, body string) {
	t.Helper()
	resp, err := http.Post("http://"+p.addrs.HTTP+"/webhooks/nxcloud", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", answer)
}

func dial(t *testing.T, p *process) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(p.addrs.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func headOf(t *testing.T, p *process) string {
	t.Helper()
	info, err := wabastreamv1.NewEventServiceClient(dial(t, p)).GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
	return info.GetHeadCursor()
}

// stateOf is all that a server tells of the accounts once it has come to a cursor.
func stateOf(t *testing.T, p *process, atLeast string) string {
	t.Helper()
	service := wabastreamv1.NewAccountServiceClient(dial(t, p))
	all, err := service.ListAccounts(t.Context(), &wabastreamv1.ListAccountsRequest{PageSize: 1000, AtLeastCursor: atLeast})
	require.NoError(t, err)
	answers := []proto.Message{all}
	for _, a := range all.GetAccounts() {
		one, err := service.GetAccount(t.Context(), &wabastreamv1.GetAccountRequest{WabaId: a.GetWabaId()})
		require.NoError(t, err)
		answers = append(answers, one)
	}
	persons, err := service.ListMarketingOptOuts(t.Context(), &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: "15550005"})
	require.NoError(t, err)
	texts := make([]json.RawMessage, 0, len(answers)+1)
	for _, answer := range append(answers, persons) {
		text, err := protojson.Marshal(answer)
		require.NoError(t, err)
		texts = append(texts, text)
	}
	whole, err := json.Marshal(texts) // compact: protojson's spaces vary
	require.NoError(t, err)
	return string(whole)
}

// withoutPlaces leaves out what differs from log to log.
func withoutPlaces(t *testing.T, state string) any {
	t.Helper()
	var tree any
	require.NoError(t, json.Unmarshal([]byte(state), &tree))
	var strip func(any)
	strip = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			delete(n, "cursor")
			delete(n, "receiveTime")
			for _, child := range n {
				strip(child)
			}
		case []any:
			for _, child := range n {
				strip(child)
			}
		}
	}
	strip(tree)
	return tree
}
