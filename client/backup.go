package client

import (
	"context"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Reasons why a backup is not made.
const (
	// ReasonBackupExists: there is a backup with the id.
	ReasonBackupExists = "BACKUP_EXISTS"
	// ReasonBackupInProgress: another one is being made. Call again.
	ReasonBackupInProgress = "BACKUP_IN_PROGRESS"
	// ReasonDiskFull: the server's disk has too little room.
	ReasonDiskFull = "DISK_FULL"
)

// CreateBackup makes the server copy its log into a folder on its own machine,
// and returns once the copy is durable: usually within a second, longer where the
// server must copy to another file system. The id is the backup's name, of a-z,
// 0-9, ".", "_" and "-"; an empty one takes the server's clock.
//
// Its error is an [*Error]. After one without a reason, such as a lost connection,
// there may or may not be a backup: call again with the same id, and
// [ReasonBackupExists] says that there is.
func (c *Client) CreateBackup(ctx context.Context, id string) (*wabastreamv1.Backup, error) {
	request := &wabastreamv1.CreateBackupRequest{BackupId: id}
	answer, err := wabastreamv1.NewAdminServiceClient(c.conn).CreateBackup(ctx, request)
	if err != nil {
		return nil, errorOf(err)
	}
	return answer.GetBackup(), nil
}
