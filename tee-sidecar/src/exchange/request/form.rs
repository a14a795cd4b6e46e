//! Forms with files in them: audio, images. Their bytes are never taken apart here; the engine gets
//! them as they came, with the client's own boundary.

use bytes::Bytes;
use memchr::memmem;

use super::{Request, Size, UsageWanted};
use crate::fault::Fault;
use crate::route::Route;

/// The longest `Content-Type`.
const TYPE_BYTES_MAX: usize = 256;

pub(super) fn parse(
    route: Route,
    received: Bytes,
    content_type: Option<&str>,
) -> Result<Request, Fault> {
    let given = content_type.filter(|given| given.len() <= TYPE_BYTES_MAX && is_form(given));
    let Some(content_type) = given.map(str::to_owned) else {
        let rule = "send the request as multipart/form-data, with a boundary";
        return Err(Fault::BadRequest(rule.into()));
    };
    // A field of this name, whatever it says. An engine that streams unasked finds nobody to read.
    let stream = memmem::find(&received, b"name=\"stream\"").is_some();
    if stream && !route.streams() {
        return Err(not_streamed());
    }
    Ok(Request {
        route,
        forwarded: received.clone(),
        received,
        content_type,
        model: None,
        stream,
        // Nothing was added for us, so nothing is cut out for the client.
        usage_wanted: UsageWanted { at_end: true, running: true },
        size: Size::of_files(),
        salt_at: None,
    })
}

pub(super) fn not_streamed() -> Fault {
    Fault::BadParameter {
        param: "stream",
        message: "this route is not streamed here: leave 'stream' out".into(),
    }
}

fn is_form(content_type: &str) -> bool {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    media_type.trim().eq_ignore_ascii_case("multipart/form-data")
        && parameters.to_ascii_lowercase().contains("boundary=")
        && content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_forwarded_as_it_came_and_what_is_none_is_refused() {
        let body = Bytes::from_static(b"--x\r\ncontent-disposition: form-data; name=\"file\"\r\n");
        let form = "Multipart/Form-Data; boundary=x";
        let request = parse(Route::Transcriptions, body.clone(), Some(form)).unwrap();
        assert_eq!((request.forwarded, request.content_type.as_str()), (body.clone(), form));
        for none in [None, Some("application/json"), Some("multipart/form-data")] {
            let fault = parse(Route::Transcriptions, body.clone(), none).unwrap_err();
            assert_eq!(fault.status(), 400, "{none:?}");
        }
        let field = "--x\r\ncontent-disposition: form-data; name=\"stream\"";
        let streamed = |route| parse(route, Bytes::from_static(field.as_bytes()), Some(form));
        assert!(streamed(Route::Transcriptions).unwrap().stream);
        assert!(streamed(Route::ImageEdits).is_err());
    }
}
