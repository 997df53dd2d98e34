package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
)

// PrepareImageAccount gives the image keeper's account subordinate ids, once, from the range of the members'.
// gifford-images.service runs it as root before the image keeper.
func PrepareImageAccount(config string) error {
	rules, err := ReadPolicy(config)
	if err != nil {
		return err
	}
	name, err := ident.ParseUser(imagestore.Account)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var names accounts.Directory
	account, err := names.Lookup(ctx, name)
	if err != nil {
		return fmt.Errorf("cannot find the image keeper's account: %w\nhint: systemd-sysusers", err)
	}
	// The launcher's own service makes it too, but may not have run yet.
	if err := os.MkdirAll(contract.StateDir, passage); err != nil {
		return err
	}
	etc, err := os.OpenRoot("/etc")
	if err != nil {
		return err
	}
	defer etc.Close()
	state, err := os.OpenRoot(contract.StateDir)
	if err != nil {
		return err
	}
	defer state.Close()
	return errors.Join(state.Chmod(".", passage), subIDs{etc: etc, state: state}.ensure(ctx, account, rules.SubIDs))
}
