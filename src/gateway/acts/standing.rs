//! Standing holds: whoever can read mail compares what was newly sealed with their queries. Until then it is protected whole.

use crate::archive::acts::{HoldFile, QUERY_INFO, Tools};
use crate::catalog::{OpenedArchive, Query, Reader};

/// Compares; how many messages came under holds. The catalog must have been brought up to date before.
pub fn compare(tools: &Tools<'_>, opened: &OpenedArchive, reader: &Reader) -> Result<u64, String> {
    let archive = opened.unlocked().archive();
    let holds = archive.holds().map_err(|e| e.to_string())?;
    let standing: Vec<_> = holds
        .into_iter()
        .filter(|info| info.released.is_none() && info.file.as_ref().is_some_and(|file| file.query.is_some()))
        .collect();
    if standing.is_empty() {
        return Ok(0);
    }
    let listing = reader.listing().map_err(|e| e.to_string())?;
    let Some(newest) = listing.newest_segment().map_err(|e| e.to_string())? else { return Ok(0) };
    let mut messages = 0;
    for info in standing {
        let behind = info.seen.is_none_or(|seen| seen < newest.seal_index);
        let sealed = info.file.as_ref().and_then(|file| file.query.as_deref());
        let Some(sealed) = sealed.filter(|_| behind) else { continue };
        let aad = HoldFile::query_aad(&archive.id(), &info.hold);
        let failed = |e: &dyn std::fmt::Display| format!("standing hold {}: {e}", archive.hold_name(&info.hold));
        let text = opened.unlocked().open_secret(QUERY_INFO, &aad, sealed).map_err(|e| failed(&e))?;
        let query = Query::parse(&String::from_utf8_lossy(&text)).map_err(|e| failed(&e))?;
        let uids = listing.uids_after(&query, info.seen).map_err(|e| failed(&e))?;
        let base = u64::from(archive.uid_base());
        let accepts = uids.into_iter().filter_map(|uid| u64::from(uid).checked_sub(base + 1)).collect();
        let held = archive.widen(tools, &info.hold, &accepts, newest.seal_index).map_err(|e| failed(&e))?;
        messages += held.messages;
    }
    Ok(messages)
}
