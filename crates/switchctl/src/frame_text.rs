//! A frame as a person or a script gives it: in hexadecimal, as one of a capture file, or written out.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use control::hex;
use frame::MacAddr;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

/// Shortest frame on a wire, without its checksum.
const SHORTEST: usize = 60;

/// Longest frame that is written out.
const LONGEST: usize = 65_549;

/// Names of EtherTypes.
const TYPES: [(&str, u16); 7] = [
    ("ipv4", 0x0800),
    ("ip", 0x0800),
    ("arp", 0x0806),
    ("ipv6", 0x86dd),
    ("lldp", 0x88cc),
    ("eapol", 0x888e),
    ("lacp", 0x8809),
];

/// The bytes of the frame.
pub(crate) fn read(words: &[String]) -> Result<Vec<u8>> {
    if words.iter().any(|word| word.contains('=')) {
        return written_out(words);
    }
    let text = words.concat();
    if let Some((file, number)) = text.rsplit_once(':')
        && Path::new(file).is_file()
    {
        let number = number.parse().ok().filter(|number| *number > 0);
        let number =
            number.with_context(|| format!("{text}: the frame's number comes behind the colon, from 1"))?;
        return captured(Path::new(file), number);
    }
    hex::bytes(&text).filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
        anyhow!(
            "`{text}` is no frame: give it in hexadecimal, as FILE.pcap:NUMBER, or written out: \
             dst=ff:ff:ff:ff:ff:ff src=02:00:00:00:00:01 type=arp"
        )
    })
}

/// As `dst=… src=… vlan=… type=… len=…`.
fn written_out(words: &[String]) -> Result<Vec<u8>> {
    let (mut dst, mut src, mut vlan, mut ethertype, mut len) = (None, None, None, 0x0800, SHORTEST);
    for word in words.iter().flat_map(|word| word.split_whitespace()) {
        let (key, value) = word.split_once('=').with_context(|| format!("`{word}` is no key=value"))?;
        match key {
            "dst" => dst = Some(mac(value)?),
            "src" => src = Some(mac(value)?),
            "vlan" => vlan = Some(number(value).filter(|vid| *vid < 4096).context("vlan: from 0 to 4095")?),
            "type" => ethertype = type_of(value)?,
            "len" => {
                len = value.parse().ok().filter(|len| *len <= LONGEST).context("len: a number of bytes")?
            }
            _ => bail!("unknown key `{key}`: a frame has dst, src, vlan, type and len"),
        }
    }
    let (dst, src) = (dst.context("a frame needs dst=MAC")?, src.context("a frame needs src=MAC")?);
    let mut bytes = [dst.0, src.0].concat();
    if let Some(vid) = vlan {
        bytes.extend(0x8100_u16.to_be_bytes());
        bytes.extend(vid.to_be_bytes());
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.resize(len.max(bytes.len()), 0);
    Ok(bytes)
}

fn mac(text: &str) -> Result<MacAddr> {
    text.parse().map_err(|error| anyhow!("{text}: {error}"))
}

fn number(text: &str) -> Option<u16> {
    match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn type_of(text: &str) -> Result<u16> {
    let named = TYPES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let names: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
    named
        .or_else(|| number(text))
        .with_context(|| format!("type: a number as 0x0806, or {}", names.join(", ")))
}

/// Frame `number`, from 1, of a pcap or pcapng file.
fn captured(path: &Path, number: usize) -> Result<Vec<u8>> {
    let open =
        || File::open(path).map(BufReader::new).with_context(|| format!("can't read {}", path.display()));
    let frame = match PcapReader::new(open()?) {
        Ok(mut reader) => {
            let mut left = number;
            loop {
                let Some(packet) = reader.next_packet() else { break None };
                let packet = packet.with_context(|| format!("{} is damaged", path.display()))?;
                left -= 1;
                if left == 0 {
                    ensure!(packet.orig_len as usize <= packet.data.len(), cut(path, number));
                    break Some(packet.data.into_owned());
                }
            }
        }
        Err(_) => of_pcapng(open()?, path, number)?,
    };
    frame.with_context(|| format!("{} has fewer than {number} frames", path.display()))
}

fn of_pcapng(file: BufReader<File>, path: &Path, number: usize) -> Result<Option<Vec<u8>>> {
    let what = || format!("{} is neither a pcap nor a pcapng file", path.display());
    let mut reader = PcapNgReader::new(file).with_context(what)?;
    let mut left = number;
    while let Some(block) = reader.next_block() {
        let (data, original) = match block.with_context(|| format!("{} is damaged", path.display()))? {
            Block::EnhancedPacket(packet) => (packet.data, packet.original_len),
            Block::SimplePacket(packet) => (packet.data, packet.original_len),
            _ => continue,
        };
        left -= 1;
        if left == 0 {
            ensure!(original as usize <= data.len(), cut(path, number));
            return Ok(Some(data.into_owned()));
        }
    }
    Ok(None)
}

fn cut(path: &Path, number: usize) -> String {
    format!("frame {number} of {} was not captured whole: its length would be wrong", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn frames_are_read_as_people_write_them() {
        let written = read(&words("dst=ff:ff:ff:ff:ff:ff src=02:00:00:00:00:01 vlan=10 type=arp")).unwrap();
        assert_eq!(hex::text(&written[..18]), "ffffffffffff020000000001810000 0a0806".replace(' ', ""));
        assert_eq!(written.len(), 60);
        assert_eq!(read(&words("dst=02:00:00:00:00:02 src=02:00:00:00:00:01 len=1500")).unwrap().len(), 1500);
        assert_eq!(read(&words("ffff ff:ff 0a")).unwrap(), [0xff, 0xff, 0xff, 0xff, 0x0a]);
        for (text, says) in [
            ("dst=1", "not a MAC"),
            ("src=02:00:00:00:00:01", "needs dst"),
            ("dst=02:00:00:00:00:01 src=02:00:00:00:00:01 vlan=4096", "vlan"),
            ("dst=02:00:00:00:00:01 src=02:00:00:00:00:01 type=tcp", "arp"),
            ("dst=02:00:00:00:00:01 color=red", "unknown key"),
            ("xyz", "hexadecimal"),
            ("nothing.pcap:1", "hexadecimal"),
        ] {
            let error = format!("{:#}", read(&words(text)).unwrap_err());
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
