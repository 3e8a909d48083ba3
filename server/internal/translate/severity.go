package translate

import (
	"strings"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// severityOf is the contract's table from type to severity.
func severityOf(typ string) wabastreamv1.Severity {
	const disabled = "account_update.disabled_update"
	switch typ {
	case disabled + ".disable",
		disabled + ".schedule_for_disable",
		"account_update.account_deleted",
		"account_update.partner_removed":
		return wabastreamv1.Severity_SEVERITY_CRITICAL
	case disabled + ".reinstate":
		return wabastreamv1.Severity_SEVERITY_INFO
	case disabled,
		"account_update.account_violation",
		"account_update.account_restriction",
		"account_review_update.rejected",
		"phone_number_name_update.rejected",
		"phone_number_quality_update.downgrade",
		"phone_number_quality_update.flagged":
		return wabastreamv1.Severity_SEVERITY_WARNING
	}
	if strings.HasPrefix(typ, disabled+".") { // a state of a ban that nobody knows yet
		return wabastreamv1.Severity_SEVERITY_WARNING
	}
	return wabastreamv1.Severity_SEVERITY_INFO
}
