package guard

import (
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
)

// Rule says who may call something.
type Rule int

const (
	// Nobody may: it is the rule of what has none.
	Nobody Rule = iota
	// Anybody may, without being asked who it is.
	Anybody
	// Consumers may: whoever is let in. What of the log they see their grants say.
	Consumers
	// Operators may: those whose grant has Operate.
	Operators
	// Monitors may: those whose grant has Metrics.
	Monitors
)

// Methods are the rules of all gRPC methods, by full name. What is not in here is
// for nobody.
func Methods() map[string]Rule {
	return map[string]Rule{
		healthv1.Health_Check_FullMethodName: Anybody,
		healthv1.Health_List_FullMethodName:  Anybody,
		healthv1.Health_Watch_FullMethodName: Anybody,

		reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName:      Consumers,
		reflectionv1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: Consumers,

		wabastreamv1.EventService_Subscribe_FullMethodName:  Consumers,
		wabastreamv1.EventService_ListEvents_FullMethodName: Consumers,
		wabastreamv1.EventService_GetEvent_FullMethodName:   Consumers,
		wabastreamv1.EventService_GetLogInfo_FullMethodName: Consumers,

		wabastreamv1.AccountService_GetAccount_FullMethodName:             Consumers,
		wabastreamv1.AccountService_ListAccounts_FullMethodName:           Consumers,
		wabastreamv1.AccountService_WatchAccounts_FullMethodName:          Consumers,
		wabastreamv1.AccountService_ListPhoneNumbers_FullMethodName:       Consumers,
		wabastreamv1.AccountService_GetMarketingPreference_FullMethodName: Consumers,
		wabastreamv1.AccountService_ListMarketingOptOuts_FullMethodName:   Consumers,

		wabastreamv1.AdminService_CreateBackup_FullMethodName:        Operators,
		wabastreamv1.AdminService_ListQuarantined_FullMethodName:     Operators,
		wabastreamv1.AdminService_ReinjectQuarantined_FullMethodName: Operators,
		wabastreamv1.AdminService_ListSubscriptions_FullMethodName:   Operators,
	}
}

// endsItself reports whether a method watches its session, and the shutdown, so that
// it can tell its client before it ends.
func endsItself(method string) bool {
	return method == wabastreamv1.EventService_Subscribe_FullMethodName || method == wabastreamv1.AccountService_WatchAccounts_FullMethodName
}

// allow refuses a caller whose grant the rule does not do with.
func (r Rule) allow(session *access.Session) error {
	grant := session.Caller().Grant
	switch {
	case r == Anybody, r == Consumers:
		return nil
	case r == Operators && grant.Operate, r == Monitors && grant.Metrics:
		return nil
	case r == Operators:
		return apierror.New(codes.PermissionDenied, "OPERATOR_REQUIRED", "this is for operators; the caller's grant lacks operate")
	case r == Monitors:
		return apierror.New(codes.PermissionDenied, "METRICS_NOT_ALLOWED", "the caller's grant lacks metrics")
	default:
		return noRule()
	}
}

func noRule() error {
	return apierror.New(codes.PermissionDenied, "NOT_ALLOWED", "this is for nobody")
}
