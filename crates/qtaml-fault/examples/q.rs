//! scratch
use qtaml_fault::*; use qtaml_physics::*; use qtaml_quant::BitWidth; use std::time::Instant;
fn main(){ let m=BitFlips::new(FlipProbability::symmetric(0.1).unwrap(),BitWidth::INT8).unwrap(); let mut w=vec![0x5au8;32<<20];
 let a=BitFlips::new(FlipProbability::asymmetric(0.1,0.2).unwrap(),BitWidth::INT8).unwrap();
 let s=BitFlips::new(FlipProbability::symmetric(0.001).unwrap(),BitWidth::INT8).unwrap();
 for _ in 0..4 { let t=Instant::now(); m.inject(&mut w,0,&Site::new(Seed(1),0,"x"),Protected::NOTHING); let d=t.elapsed().as_secs_f64();
 let t=Instant::now(); a.inject(&mut w,0,&Site::new(Seed(1),0,"x"),Protected::NOTHING); let e=t.elapsed().as_secs_f64();
 let t=Instant::now(); s.inject(&mut w,0,&Site::new(Seed(1),0,"x"),Protected::NOTHING); let f=t.elapsed().as_secs_f64();
 println!("sym {:.0} asym {:.0} sparse {:.0} M/s", w.len() as f64/d/1e6, w.len() as f64/e/1e6, w.len() as f64/f/1e6);} }
