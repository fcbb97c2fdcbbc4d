"""The ONNX Runtime engine: embedders and rankers as ONNX files. The only package that imports onnxruntime."""
