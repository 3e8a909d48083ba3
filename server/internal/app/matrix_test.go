package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guard"
	"github.com/wabastream/wabastream/server/internal/rest"
)

// foreignWABA is an account that the limited consumer may not see, foreignPhone a number
// of it.
const (
	foreignWABA  = "1002"
	foreignPhone = "15550002"
)

// cell is what one call is to be answered, by who makes it. It asks for what is of
// foreignWABA.
type cell struct {
	public bool // nobody is asked who calls
	// known is the answer to who may everything, limited to who may see another account
	// only; OK unless said.
	known, limited codes.Code
	reason         string // of limited
	grpc           func(ctx context.Context, conn *grpc.ClientConn, eventID string) error
	path, body     string // of HTTP; EVENT stands for the event's id
}

// grpcCells has every method of the server.
func grpcCells() map[string]cell {
	filters := []*wabastreamv1.EventFilter{{WabaIds: []string{foreignWABA}}}
	events := func(f func(context.Context, wabastreamv1.EventServiceClient, string) error) func(context.Context, *grpc.ClientConn, string) error {
		return func(ctx context.Context, conn *grpc.ClientConn, id string) error {
			return f(ctx, wabastreamv1.NewEventServiceClient(conn), id)
		}
	}
	admins := func(known codes.Code, f func(context.Context, wabastreamv1.AdminServiceClient) error) cell {
		return cell{known: known, limited: codes.PermissionDenied, reason: "OPERATOR_REQUIRED", grpc: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			return f(ctx, wabastreamv1.NewAdminServiceClient(conn))
		}}
	}
	ofAccount := func(f func(context.Context, wabastreamv1.AccountServiceClient) error) cell {
		return cell{limited: codes.PermissionDenied, reason: "WABA_NOT_ALLOWED", grpc: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			return f(ctx, wabastreamv1.NewAccountServiceClient(conn))
		}}
	}
	return map[string]cell{
		wabastreamv1.AccountService_GetAccount_FullMethodName: ofAccount(func(ctx context.Context, c wabastreamv1.AccountServiceClient) error {
			_, err := c.GetAccount(ctx, &wabastreamv1.GetAccountRequest{WabaId: foreignWABA})
			return err
		}),
		wabastreamv1.AccountService_ListAccounts_FullMethodName: ofAccount(func(ctx context.Context, c wabastreamv1.AccountServiceClient) error {
			_, err := c.ListAccounts(ctx, &wabastreamv1.ListAccountsRequest{WabaIds: []string{foreignWABA}})
			return err
		}),
		wabastreamv1.AccountService_WatchAccounts_FullMethodName: ofAccount(func(ctx context.Context, c wabastreamv1.AccountServiceClient) error {
			return firstOf(c.WatchAccounts(ctx, &wabastreamv1.WatchAccountsRequest{WabaIds: []string{foreignWABA}}))
		}),
		wabastreamv1.AccountService_ListPhoneNumbers_FullMethodName: ofAccount(func(ctx context.Context, c wabastreamv1.AccountServiceClient) error {
			_, err := c.ListPhoneNumbers(ctx, &wabastreamv1.ListPhoneNumbersRequest{WabaId: foreignWABA})
			return err
		}),
		wabastreamv1.AccountService_GetMarketingPreference_FullMethodName: ofAccount(func(ctx context.Context, c wabastreamv1.AccountServiceClient) error {
			_, err := c.GetMarketingPreference(ctx, &wabastreamv1.GetMarketingPreferenceRequest{BusinessPhone: foreignPhone, WaId: "1"})
			return err
		}),
		wabastreamv1.AccountService_ListMarketingOptOuts_FullMethodName: ofAccount(func(ctx context.Context, c wabastreamv1.AccountServiceClient) error {
			_, err := c.ListMarketingOptOuts(ctx, &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: foreignPhone})
			return err
		}),
		wabastreamv1.EventService_Subscribe_FullMethodName: {limited: codes.PermissionDenied, reason: "WABA_NOT_ALLOWED", grpc: events(func(ctx context.Context, c wabastreamv1.EventServiceClient, _ string) error {
			return firstOf(c.Subscribe(ctx, &wabastreamv1.SubscribeRequest{Filters: filters}))
		})},
		wabastreamv1.EventService_ListEvents_FullMethodName: {limited: codes.PermissionDenied, reason: "WABA_NOT_ALLOWED", grpc: events(func(ctx context.Context, c wabastreamv1.EventServiceClient, _ string) error {
			_, err := c.ListEvents(ctx, &wabastreamv1.ListEventsRequest{Filters: filters})
			return err
		})},
		wabastreamv1.EventService_GetEvent_FullMethodName: {limited: codes.NotFound, reason: "EVENT_NOT_FOUND", grpc: events(func(ctx context.Context, c wabastreamv1.EventServiceClient, id string) error {
			_, err := c.GetEvent(ctx, &wabastreamv1.GetEventRequest{Id: id})
			return err
		})},
		wabastreamv1.EventService_GetLogInfo_FullMethodName: {grpc: events(func(ctx context.Context, c wabastreamv1.EventServiceClient, _ string) error {
			_, err := c.GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{})
			return err
		})},
		wabastreamv1.AdminService_CreateBackup_FullMethodName: admins(codes.InvalidArgument, func(ctx context.Context, c wabastreamv1.AdminServiceClient) error {
			_, err := c.CreateBackup(ctx, &wabastreamv1.CreateBackupRequest{BackupId: "../elsewhere"})
			return err
		}),
		wabastreamv1.AdminService_ListQuarantined_FullMethodName: admins(codes.OK, func(ctx context.Context, c wabastreamv1.AdminServiceClient) error {
			_, err := c.ListQuarantined(ctx, &wabastreamv1.ListQuarantinedRequest{})
			return err
		}),
		wabastreamv1.AdminService_ReinjectQuarantined_FullMethodName: admins(codes.NotFound, func(ctx context.Context, c wabastreamv1.AdminServiceClient) error {
			_, err := c.ReinjectQuarantined(ctx, &wabastreamv1.ReinjectQuarantinedRequest{QuarantineId: "x"})
			return err
		}),
		wabastreamv1.AdminService_ListSubscriptions_FullMethodName: admins(codes.OK, func(ctx context.Context, c wabastreamv1.AdminServiceClient) error {
			_, err := c.ListSubscriptions(ctx, &wabastreamv1.ListSubscriptionsRequest{})
			return err
		}),
		healthv1.Health_Check_FullMethodName: {public: true, grpc: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
			return err
		}},
		healthv1.Health_List_FullMethodName: {public: true, grpc: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			_, err := healthv1.NewHealthClient(conn).List(ctx, &healthv1.HealthListRequest{})
			return err
		}},
		healthv1.Health_Watch_FullMethodName: {public: true, grpc: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			return firstOf(healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{}))
		}},
		reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName: {grpc: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
			if err != nil {
				return err
			}
			_ = stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
			return firstOf(stream, nil)
		}},
		reflectionv1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: {grpc: func(ctx context.Context, conn *grpc.ClientConn, _ string) error {
			stream, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
			if err != nil {
				return err
			}
			if err := errors.Join(stream.CloseSend(), firstOf(stream, nil)); !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}},
	}
}

// firstOf receives a stream's first message.
func firstOf[M any](stream interface{ Recv() (M, error) }, err error) error {
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

// httpCells has every route of the API.
func httpCells() map[string]cell {
	const filters = `{"filters":[{"wabaIds":["` + foreignWABA + `"]}]`
	admins := func(known codes.Code, path, body string) cell {
		return cell{known: known, limited: codes.PermissionDenied, reason: "OPERATOR_REQUIRED", path: path, body: body}
	}
	ofAccount := func(path, body string) cell {
		return cell{limited: codes.PermissionDenied, reason: "WABA_NOT_ALLOWED", path: path, body: body}
	}
	return map[string]cell{
		"GET /v1/accounts/{waba_id}":         ofAccount("/v1/accounts/"+foreignWABA, ""),
		"POST /v1/accounts:list":             ofAccount("/v1/accounts:list", `{"wabaIds":["`+foreignWABA+`"]}`),
		"POST /v1/accounts:watch":            ofAccount("/v1/accounts:watch", `{"wabaIds":["`+foreignWABA+`"]}`),
		"POST /v1/phone-numbers:list":        ofAccount("/v1/phone-numbers:list", `{"wabaId":"`+foreignWABA+`"}`),
		"POST /v1/marketing-preferences:get": ofAccount("/v1/marketing-preferences:get", `{"businessPhone":"`+foreignPhone+`","waId":"1"}`),
		"POST /v1/marketing-opt-outs:list":   ofAccount("/v1/marketing-opt-outs:list", `{"businessPhone":"`+foreignPhone+`"}`),
		"GET /healthz":                       {public: true, path: "/healthz"},
		"GET /readyz":                        {public: true, path: "/readyz"},
		"GET /openapi.json":                  {public: true, path: "/openapi.json"},
		"GET /docs":                          {public: true, path: "/docs"},
		"GET /metrics":                       {limited: codes.PermissionDenied, reason: "METRICS_NOT_ALLOWED", path: "/metrics"},
		"GET /v1/log":                        {path: "/v1/log"},
		"GET /v1/events/{id}":                {limited: codes.NotFound, reason: "EVENT_NOT_FOUND", path: "/v1/events/EVENT"},
		"GET /v1/events:sse":                 {limited: codes.PermissionDenied, reason: "WABA_NOT_ALLOWED", path: "/v1/events:sse?waba_id=" + foreignWABA},
		"POST /v1/events:subscribe":          {limited: codes.PermissionDenied, reason: "WABA_NOT_ALLOWED", path: "/v1/events:subscribe", body: filters + `,"stopAtHead":true}`},
		"POST /v1/events:list":               {limited: codes.PermissionDenied, reason: "WABA_NOT_ALLOWED", path: "/v1/events:list", body: filters + `}`},
		"POST /v1/backups":                   admins(codes.InvalidArgument, "/v1/backups", `{"backupId":"../elsewhere"}`),
		"POST /v1/quarantine:list":           admins(codes.OK, "/v1/quarantine:list", `{}`),
		"POST /v1/quarantine:reinject":       admins(codes.NotFound, "/v1/quarantine:reinject", `{"quarantineId":"x"}`),
		"POST /v1/subscriptions:list":        admins(codes.OK, "/v1/subscriptions:list", `{}`),
	}
}

// site is a server with consumers of every kind and an event of foreignWABA.
type site struct {
	*running
	full, limited, revoked, expired *consumer
	roster                          roster
	eventID                         string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		full: newConsumer("full", all), revoked: newConsumer("revoked", all), expired: newConsumer("expired", all),
		limited: newConsumer("limited", "waba_ids: ['1001']\ntypes: ['*']"),
	}
	s.expired.expireTime = "2020-01-01T00:00:00Z"
	s.roster = newRoster(t, s.full, s.limited, s.revoked, s.expired)
	config := testConfig(t)
	config.AccessFile = s.roster.path
	s.running = startApp(t, config)
	got := request(t, http.MethodPost, "http://"+s.Addrs().HTTP+"/webhooks/nxcloud",
		`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":1757450905,"business_phone":"`+foreignPhone+`","wabaId":"`+foreignWABA+`"}}`, http.Header{"Content-Type": {"application/json"}})
	require.Equal(t, http.StatusOK, got.code)
	page, err := wabastreamv1.NewEventServiceClient(s.conn).ListEvents(carrying(t.Context(), s.full.token), &wabastreamv1.ListEventsRequest{}, grpc.WaitForReady(true))
	require.NoError(t, err)
	require.Len(t, page.GetEvents(), 1)
	s.eventID = page.GetEvents()[0].GetId()
	_, err = wabastreamv1.NewAccountServiceClient(s.conn).GetAccount(carrying(t.Context(), s.full.token), &wabastreamv1.GetAccountRequest{
		WabaId: foreignWABA, AtLeastCursor: page.GetEvents()[0].GetCursor(),
	})
	require.NoError(t, err)
	return s
}

// visitor is a kind of caller, and what whoever is not public's business is told.
type visitor struct {
	name, token, refusal string
}

func (s *site) visitors() []visitor {
	return []visitor{
		{"no credential", "", "CREDENTIALS_MISSING"},
		{"bad", "wst_" + strings.Repeat("a", 52), "CREDENTIALS_INVALID"},
		{"not a token", "x", "CREDENTIALS_INVALID"},
		{"expired", s.expired.token, "CREDENTIALS_EXPIRED"},
		{"out of scope", s.limited.token, ""},
		{"in scope", s.full.token, ""},
	}
}

// want is what the cell says of a visitor.
func (c cell) want(s *site, v visitor) (codes.Code, string) {
	switch {
	case c.public:
		return codes.OK, ""
	case v.refusal != "":
		return codes.Unauthenticated, v.refusal
	case v.token == s.limited.token:
		return c.limited, c.reason
	default:
		return c.known, ""
	}
}

func (s *site) checkGRPC(t *testing.T, c cell, v visitor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	code, reason := c.want(s, v)
	err := c.grpc(carrying(ctx, v.token), s.conn, s.eventID)
	if reason != "" {
		requireReason(t, err, code, reason)
		return
	}
	require.Equal(t, code.String(), status.Code(err).String(), "%v", err)
}

func (s *site) checkHTTP(t *testing.T, method string, c cell, v visitor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	code, reason := c.want(s, v)
	path := strings.ReplaceAll(c.path, "EVENT", s.eventID)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addrs().API+path, strings.NewReader(c.body))
	require.NoError(t, err)
	if v.token != "" {
		req.Header.Set("Authorization", "Bearer "+v.token)
	}
	resp, err := oneUse().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, httpStatus(code), resp.StatusCode)
	require.Equal(t, code == codes.Unauthenticated, resp.Header.Get("WWW-Authenticate") != "")
	if code == codes.OK {
		return
	}
	var body struct {
		Details []struct{ Reason string }
		Error   struct{ Details []struct{ Reason string } } // of a stream
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
	details := slices.Concat(body.Details, body.Error.Details)
	require.NotEmpty(t, details)
	if reason != "" {
		require.Equal(t, reason, details[0].Reason)
	}
}

func httpStatus(code codes.Code) int {
	return map[codes.Code]int{
		codes.OK: 200, codes.InvalidArgument: 400, codes.Unauthenticated: 401, codes.PermissionDenied: 403, codes.NotFound: 404,
	}[code]
}

// Every method and every path answers each kind of caller as documented. One that has
// no rule, or is not in the tables here, fails.
func TestEveryCallByEveryCaller(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	overGRPC, overHTTP := grpcCells(), httpCells()

	var methods []string
	for service, info := range s.services {
		for _, m := range info.Methods {
			methods = append(methods, "/"+service+"/"+m.Name)
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(overGRPC)), methods, "every method is in the table of this test")
	require.ElementsMatch(t, slices.Collect(maps.Keys(guard.Methods())), methods, "every method has a rule, and no rule is of none")
	var paths []string
	for _, r := range rest.Routes() {
		paths = append(paths, r.Method+" "+r.Path)
		require.NotEqual(t, guard.Nobody, r.Rule, r.Path)
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(overHTTP)), paths, "every path is in the table of this test")

	for _, v := range s.visitors() {
		for name, c := range overGRPC {
			t.Run(v.name+name, func(t *testing.T) {
				t.Parallel()
				s.checkGRPC(t, c, v)
			})
		}
		for name, c := range overHTTP {
			method, _, _ := strings.Cut(name, " ")
			t.Run(v.name+" "+name, func(t *testing.T) {
				t.Parallel()
				s.checkHTTP(t, method, c, v)
			})
		}
	}
}

// Who is taken out of the file is out within seconds: what it has under way ends, and
// nothing new begins.
func TestRevokedWhileUnderWay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx := carrying(t.Context(), s.revoked.token)
	stream, err := reflectionv1.NewServerReflectionClient(s.conn).ServerReflectionInfo(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}))
	require.NoError(t, firstOf(stream, nil))
	listed := make(chan error, 1)
	go func() {
		_, err := wabastreamv1.NewEventServiceClient(s.conn).ListEvents(ctx, &wabastreamv1.ListEventsRequest{
			Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"none"}}},
			Order:   wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST, Wait: durationpb.New(time.Minute),
		})
		listed <- err
	}()

	begin := time.Now()
	s.roster.write(t, s.full, s.limited, s.expired)
	requireReason(t, firstOf(stream, nil), codes.Unauthenticated, "CREDENTIALS_INVALID")
	requireReason(t, <-listed, codes.Unauthenticated, "CREDENTIALS_INVALID")
	require.Less(t, time.Since(begin), 10*time.Second) // 5 s, and what a busy machine takes
	v := visitor{"revoked", s.revoked.token, "CREDENTIALS_INVALID"}
	for name, c := range grpcCells() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.checkGRPC(t, c, v)
		})
	}
	for name, c := range httpCells() {
		method, _, _ := strings.Cut(name, " ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.checkHTTP(t, method, c, v)
		})
	}
}
