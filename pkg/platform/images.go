package platform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/quota"
)

const (
	imagesThatWait = 256
	imageShare     = 16 // of an image's size, in the books, that the small one takes that is stored
	fullShare      = 0.6
	trimmedShare   = 0.5
	trimEvery      = 5 * time.Second
)

// image is the picture of an item that was published.
type image struct {
	item  uint64
	bytes int64
}

// show puts the images of items that were published in line. When too many wait, they are left out.
func (p *Platform) show(all []news) {
	if p.disk == nil {
		return
	}
	for _, n := range all {
		after, isItem := n.after.(Item)
		before, _ := n.before.(Item)
		if !isItem || after.Status != Active || before.Status != Draft {
			continue
		}
		select {
		case p.images <- image{after.ID, after.ImageBytes / imageShare}:
		default:
		}
	}
}

// storeImages stores images until the context ends, and takes old ones away before the disk is full.
func (p *Platform) storeImages(ctx context.Context) {
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	p.showSome()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case i := <-p.images:
			if err = p.disk.Store(fmt.Sprintf("%d.jpg", i.item), i.bytes); errors.Is(err, quota.ErrFull) {
				p.cannotStore()
				continue
			}
		case <-ticker.C:
			if used, look := p.disk.Usage(); look != nil {
				err = look
			} else if float64(used.Bytes) > fullShare*float64(p.disk.Size()) && !p.faults.isOn(DiskFilling, 0) {
				err = p.disk.Trim(trimmedShare)
			}
		}
		if err != nil {
			p.config.Logger.Warn("platform: images", "err", err)
		}
	}
}

// showSome puts the images of some items in line that are for sale already.
func (p *Platform) showSome() {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, e := range p.books.Events {
		for _, id := range p.index.forSale.some(e.ID, imagesThatWait/10) {
			if item := p.books.Items.Get(id); item != nil {
				p.show([]news{{before: Item{Status: Draft}, after: *item}})
			}
		}
	}
}

// cannotStore tells that an image found no room.
func (p *Platform) cannotStore() {
	p.takeOff().land(func(t *teller) {
		v := t.platform("worker")
		v.call("storage", "object.put", "error")
	})
}
